"""API access tokens and their callbacks: stored, changed, listed, and the log of their changes."""
