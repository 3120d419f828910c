"""API access tokens: their fields, permissions, secrets and callbacks."""
