"""What is to happen to a flag, and when: on at, off at, a ramp over days."""
