"""Storage pools: which tier each belongs to, and the pools that NovaCron manages on every host."""
