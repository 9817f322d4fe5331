"""The ground floor that every chapter stands on; it imports no chapter."""
