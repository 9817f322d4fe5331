"""Change notices: signed JSON, posted by the worker to whoever wants to know."""
