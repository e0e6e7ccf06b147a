"""API tokens: named, limited and expiring keys with which scripts act for a user."""
