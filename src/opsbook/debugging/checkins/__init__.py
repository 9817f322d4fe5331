"""Check-ins: scheduled jobs that report their runs, and are missed when they do not."""
