"""Sentry's wire format: envelopes, their encodings and credentials, and the events in them. Pure: no I/O."""
