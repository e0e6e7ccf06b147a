"""VMs: create, run, stop and delete them."""
