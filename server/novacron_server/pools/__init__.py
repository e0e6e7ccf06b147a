"""Storage pools: the tier of each, and the managed pools on every host."""
