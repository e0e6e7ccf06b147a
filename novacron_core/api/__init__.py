"""The wire contract: one module per noun, its structs and its endpoints."""
