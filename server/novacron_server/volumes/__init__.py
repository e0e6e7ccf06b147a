"""Volumes: disks of VMs, and disks that wait for one."""
