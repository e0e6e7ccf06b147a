"""The wire contract: one module per noun, with its structs and endpoints."""
