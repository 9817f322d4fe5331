"""Between environments, each with its ops database: what differs, and taking a flag from one to another."""
