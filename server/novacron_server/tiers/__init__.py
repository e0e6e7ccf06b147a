"""Tiers: what the pools of each tier offer in total."""
