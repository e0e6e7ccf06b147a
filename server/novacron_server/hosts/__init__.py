"""The hosts and their status."""
