"""Who obeys: each process that follows the flags confirms the revision that it serves."""
