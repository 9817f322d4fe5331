"""Errors: events grouped into issues, kept, searched, and decided about."""
