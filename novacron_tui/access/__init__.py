"""Access in the console: the forms that make the first account and sign somebody in."""
