"""Sending over HTTP: requests, connections, name resolution, and the causes of failures."""
