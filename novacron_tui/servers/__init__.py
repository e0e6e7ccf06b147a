"""Servers the console can reach: references, profiles, saved sessions, and the bundled server."""
