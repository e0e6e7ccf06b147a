"""The procedures of operations on pools, one module per kind."""
