"""What surrounds a page: the session, the origin of a request, headers."""
