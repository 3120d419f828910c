"""A WSGI application behind the HTTP server: each request is answered in a thread, each piece of a
download is made when the client takes it. Called by the API's front and the pages'.
"""

from collections.abc import Callable, Iterable
from wsgiref.types import WSGIEnvironment

from web.exports.streaming import STREAMS
from web.server.messages import Answer
from web.server.threads import RequestThreads

WsgiApplication = Callable[..., Iterable[bytes]]


class InThread:
    """Answers by a WSGI application."""

    def __init__(self, application: WsgiApplication, threads: RequestThreads):
        self._application, self._threads = application, threads

    async def answer(self, environ: WSGIEnvironment) -> Answer:
        """Answer a request. Raises Unavailable when no thread is free in time."""
        return await self._threads.handle(self._call, environ)

    def _call(self, environ: WSGIEnvironment) -> Answer:
        status, headers = 0, list[tuple[str, str]]()

        def start(line: str, given: list[tuple[str, str]], *_: object) -> None:
            nonlocal status
            status = int(line[:3])
            headers.extend(given)

        body = self._application(environ, start)
        length = next((int(value) for name, value in headers if name == "Content-Length"), None)
        pieces = _Download(body, self._threads) if environ.get(STREAMS) else b"".join(body)
        return Answer(status, without_length(headers), pieces, length)


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


def without_length(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out the Content-Length, which the server adds."""
    return [(name, value) for name, value in headers if name.lower() != "content-length"]
