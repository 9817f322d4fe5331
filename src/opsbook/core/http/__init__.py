"""What every HTTP route shares: who calls, how errors read, how large a request may be."""
