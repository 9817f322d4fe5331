"""Firewalls of front ends, which can refuse a blocked address before it reaches this service."""
