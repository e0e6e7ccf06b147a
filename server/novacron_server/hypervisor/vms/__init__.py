"""Domains through libvirt: reading, defining, starting and stopping them, and their disks."""
