"""The gateway's tables and what is done with them, on SQLite and on PostgreSQL."""
