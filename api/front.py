"""The API behind the HTTP server: what runs on the event loop, and what a thread does.

The application's addresses are answered the same in both ways; `tests/api` asks both.
"""

from http import HTTPMethod

from api.application import Application
from api.http.authentication import bearer
from api.http.bodies import MAX_BODY_BYTES
from api.http.responses import problem_response
from api.parts import ApiParts
from schemas.errors import Problem
from schemas.ids import new_request_id
from web.environ import environ_of
from web.in_thread import InThread, without_length
from web.server.messages import Answer, Request

_BODIES = frozenset({HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE})


class ApiFront:
    """What the HTTP server asks (`web.server.messages.Front`)."""

    def __init__(self, application: Application, parts: ApiParts):
        self._application, self._parts = application, parts
        self._in_thread = InThread(application.wsgi_app, parts.threads)

    def body_limit(self, method: str, path: str) -> int:
        """Return how many bytes of a body are kept. No address reads the body of a GET."""
        if method not in _BODIES:
            return 0
        return self._application.body_limits.get((method, path), MAX_BODY_BYTES)

    def is_known(self, request: Request) -> bool:
        """Return whether the request has a token that is known."""
        secret = bearer({"HTTP_AUTHORIZATION": request.headers.get("authorization", "")})
        directory = self._parts.directory
        return secret is not None and directory.known(secret, directory.now()) is not None

    async def answer(self, request: Request) -> Answer:
        """Answer on the event loop, or by Flask in a thread."""
        environ = environ_of(request)
        entry = self._application.loop_entries.get((request.method, request.path))
        if entry is not None:
            status, headers, body = await self._application.answer_on_loop(environ, entry)
            return Answer(status, without_length(headers), body)
        try:
            return await self._in_thread.answer(environ)
        except Problem as problem:  # no thread is free
            return self.refuse(problem)

    def refuse(self, problem: Problem) -> Answer:
        """Answer a request that could not be read, or found no thread."""
        self._parts.observer.http_request("unmatched", "other", problem.status, 0.0)
        response = problem_response(problem)
        headers = [*response.headers.to_wsgi_list(), ("X-Request-Id", new_request_id())]
        return Answer(problem.status, without_length(headers), response.get_data())

    def report(self, error: Exception) -> None:
        """Log an error that cannot be answered any more."""
        self._application.report(error)
