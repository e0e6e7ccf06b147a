"""VMs: make, run, stop and delete them."""
