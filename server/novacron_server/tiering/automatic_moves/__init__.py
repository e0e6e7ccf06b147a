"""Moves between tiers that the server makes by itself, and the history of what it decided."""
