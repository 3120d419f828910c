"""The API behind the HTTP server: what runs on the event loop, and what a thread does.

The application's addresses are answered the same in both ways; `tests/api` asks both.
"""

from collections.abc import Iterable
from http import HTTPMethod
from wsgiref.types import WSGIEnvironment

from api.application import Application
from api.http.authentication import bearer
from api.http.bodies import MAX_BODY_BYTES
from api.http.environ import environ_of
from api.http.responses import problem_response
from api.parts import ApiParts
from schemas.errors import Problem
from schemas.ids import new_request_id
from web.exports.streaming import STREAMS
from web.server.messages import Answer, Request
from web.server.threads import RequestThreads

_BODIES = frozenset({HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE})


class ApiFront:
    """What the HTTP server asks (`web.server.messages.Front`)."""

    def __init__(self, application: Application, parts: ApiParts):
        self._application, self._parts = application, parts

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
            return Answer(status, _without_length(headers), body)
        try:
            return await self._parts.threads.handle(self._in_thread, environ)
        except Problem as problem:  # no thread is free
            return self.refuse(problem)

    def refuse(self, problem: Problem) -> Answer:
        """Answer a request that could not be read, or found no thread."""
        self._parts.observer.http_request("unmatched", "other", problem.status, 0.0)
        response = problem_response(problem)
        headers = [*response.headers.to_wsgi_list(), ("X-Request-Id", new_request_id())]
        return Answer(problem.status, _without_length(headers), response.get_data())

    def report(self, error: Exception) -> None:
        """Log an error that cannot be answered any more."""
        self._application.report(error)

    def _in_thread(self, environ: WSGIEnvironment) -> Answer:
        status, headers = 0, list[tuple[str, str]]()

        def start(line: str, given: list[tuple[str, str]], *_: object) -> None:
            nonlocal status
            status = int(line[:3])
            headers.extend(given)

        body = self._application.wsgi_app(environ, start)  # type: ignore[arg-type]  # no write()
        length = next((int(value) for name, value in headers if name == "Content-Length"), None)
        pieces = _Download(body, self._parts.threads) if environ.get(STREAMS) else b"".join(body)
        return Answer(status, _without_length(headers), pieces, length)


class _Download:
    """The pieces of a download, each made in a thread when it is asked for: a slow client keeps
    none of them. The download is closed in any case, also before its first piece.
    """

    def __init__(self, body: Iterable[bytes], threads: RequestThreads):
        self._body, self._pieces, self._threads = body, iter(body), threads

    def __aiter__(self) -> "_Download":
        return self

    async def __anext__(self) -> bytes:
        if piece := await self._threads.download(self._next):
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close files and whatever else the download has open."""
        if close := getattr(self._body, "close", None):
            await self._threads.download(close)

    def _next(self) -> bytes:
        """Return the next piece that is not empty, or b"" at the end."""
        return next((piece for piece in self._pieces if piece), b"")


def _without_length(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() != "content-length"]
