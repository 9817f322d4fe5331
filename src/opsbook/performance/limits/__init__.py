"""Exact rate limits: policies, decided in memory or on Redis, adjustable while they are in force."""
