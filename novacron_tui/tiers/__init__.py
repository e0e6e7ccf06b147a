"""Tiers and pools, drawn."""
