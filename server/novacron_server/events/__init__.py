"""Stored events: lists of what happened."""
