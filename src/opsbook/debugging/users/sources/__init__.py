"""Where a person's trail is gathered from: one source for each kind of entry."""
