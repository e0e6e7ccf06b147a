"""Quotas of tenants: checked in the transaction that accepts an operation."""
