"""Images: the sources of new VMs' first disks."""
