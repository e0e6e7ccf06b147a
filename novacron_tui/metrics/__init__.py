"""What VMs and hosts use, drawn."""
