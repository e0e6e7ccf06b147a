"""The sessions of an account, listed and ended one by one."""
