"""The console's frame: layout, navigation, search, live updates and static files; it imports no chapter."""
