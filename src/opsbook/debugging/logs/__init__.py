"""Logs of all processes in one place: shipped, scrubbed, followed, searched, and their level changed while they run."""
