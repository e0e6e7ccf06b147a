"""The audit log: a chain of entries per tenant, written with the changes that they record."""
