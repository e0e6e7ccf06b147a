"""PostgreSQL: the embedded one and its supervisor, the engine with its limits, the tables and their migrations."""
