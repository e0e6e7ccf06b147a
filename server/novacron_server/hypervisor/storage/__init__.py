"""Pools and volumes through libvirt, and the copies made of them."""
