"""Volumes: their display, forms and actions."""
