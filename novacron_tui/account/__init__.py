"""The own account, as the console shows and changes it: sessions, API tokens, second factor, password, tenant."""
