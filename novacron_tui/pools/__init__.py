"""Pools and tiers, drawn."""
