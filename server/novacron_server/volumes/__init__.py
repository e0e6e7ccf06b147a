"""Volumes: the disks of VMs, and disks that no VM uses yet."""
