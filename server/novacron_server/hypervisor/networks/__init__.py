"""Networks through libvirt."""
