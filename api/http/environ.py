"""Keys under which Ringback keeps what it knows of a request in that request's WSGI environ."""

ROUTE = "ringback.route"
"""Under this key the WSGI environ names the matched rule: the label of the metrics."""

LOGGED = "ringback.logged"
"""Under this key the WSGI environ says that the request log has the request already, as the one
that it was asked about.
"""

ASKED = "ringback.asked"
"""Under this key the WSGI environ says what a token that we know asked for. It is there for the
request log.
"""

LIMIT_FIELDS = "ringback.limit_fields"
"""Under this key the WSGI environ holds the header fields that tell the caller of its rate limit,
where there is one.
"""

REQUEST_ID = "ringback.request_id"
"""Under this key the WSGI environ holds the id of the request, as answers and log lines name it."""
