"""What the operations on VMs do, one module per kind; the power actions share one."""
