"""What the operations on volumes do, one module per kind."""
