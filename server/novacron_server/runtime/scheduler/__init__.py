"""Jobs that are due at times: rows in the database, so that a run that was missed is known after a restart."""
