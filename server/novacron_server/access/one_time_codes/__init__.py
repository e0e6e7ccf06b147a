"""One-time codes: invitations to a tenant, and codes that set a new password."""
