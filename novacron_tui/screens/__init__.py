"""Screens: they arrange widgets and own no data."""
