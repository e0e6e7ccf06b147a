"""Values to libvirt XML and back. Pure: no libvirt here, so every rule can be tested on text alone."""
