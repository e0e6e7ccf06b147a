"""Storage pools and volumes through libvirt, and copies of volumes."""
