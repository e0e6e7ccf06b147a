"""Hosts: which there are, and how they are."""
