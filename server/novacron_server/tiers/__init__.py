"""Tiers: the pools that keep them, made on fresh hosts, given and taken away."""
