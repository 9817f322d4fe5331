"""Remembered results: `cached`, its two levels, and its levers."""
