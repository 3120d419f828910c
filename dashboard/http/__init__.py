"""What surrounds a page: cookies, signed links, the origin of a request, headers."""
