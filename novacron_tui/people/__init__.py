"""People: accounts, invitations and what the tenant uses, as the console shows and changes them."""
