"""What one person did, from every place that knows of it, in one order."""
