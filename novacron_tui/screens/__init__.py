"""Screens: fill the terminal and arrange panes; they own no data."""
