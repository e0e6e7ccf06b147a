"""Widgets that know Textual and nothing of NovaCron."""
