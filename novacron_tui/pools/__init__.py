"""Display of pools and tiers."""
