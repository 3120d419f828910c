"""API access tokens and their callbacks, as they are stored, and the log of their changes."""
