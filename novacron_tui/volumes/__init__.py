"""Volumes, drawn and changed."""
