"""The connection pool: what it does in each process, how that adds up, and what to change."""
