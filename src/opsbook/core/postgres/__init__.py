"""Postgres as Opsbook runs and reaches it: the embedded clusters, and connections to any database."""
