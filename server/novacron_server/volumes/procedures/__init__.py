"""The procedures of operations on volumes, one module per kind."""
