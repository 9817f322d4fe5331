"""What SDKs send: received within bounds, checked, and committed in groups before it is acknowledged."""
