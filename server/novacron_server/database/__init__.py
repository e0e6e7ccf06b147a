"""PostgreSQL: the embedded server and its supervisor, transactions with time limits, the tables and their migrations."""
