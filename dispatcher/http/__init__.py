"""Sending over HTTP: the request, the connection, the resolver, what went wrong."""
