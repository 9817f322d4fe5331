"""Which flags have had their day, and where the code still names them."""
