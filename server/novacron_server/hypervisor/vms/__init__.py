"""Domains through libvirt: read, defined, started and stopped, and their disks."""
