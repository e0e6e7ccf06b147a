"""People: accounts and their memberships of tenants, as owners and administrators manage them."""
