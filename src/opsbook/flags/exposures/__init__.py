"""Who sees what: evaluations counted in each process, by flag and variant, and kept by the hour."""
