"""The reference service: a small web service to operate, and an example to copy."""
