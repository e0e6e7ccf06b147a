"""Signing in: the screen, its forms, and what happens between starting and the list of VMs."""
