"""Converts values to libvirt XML and back. Pure: it does not import libvirt, so every rule can be tested on text."""
