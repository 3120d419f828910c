"""Flask inside an event loop, as the floors answer: granian's RSGI scope becomes a WSGI environ,
Flask runs in the loop, and the answer waits for the promise that a view may leave.

Called by `floor_api` and `floor_embedded`. Nothing here waits in a thread. With `BENCH_FLOOR=bare`
they leave Flask out, which shows what it costs.
"""

import asyncio
import io
import os
import sys
from collections.abc import Iterable
from typing import Any, Protocol

from flask import Flask, Response, request

IS_BARE = os.environ.get("BENCH_FLOOR") == "bare"
JSON = "application/json"

_PROMISE = "floor.promise"
"""The key in the environ for what must happen before the answer is sent."""
_SAME_FOR_ALL = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class Headers(Protocol):
    """The headers of a request, by names in small letters."""

    def get(self, name: str, /) -> str | None: ...

    def items(self) -> Iterable[tuple[str, str]]: ...


class Scope(Protocol):
    """What a floor reads of granian's RSGI scope."""

    method: str
    path: str
    query_string: str
    client: str
    scheme: str

    @property
    def headers(self) -> Headers: ...


class Exchange(Protocol):
    """What a floor uses of granian's RSGI protocol: the body that came, and the answer."""

    async def __call__(self) -> bytes: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


def body_of_request() -> bytes:
    """Return the body of Flask's current request, which is in memory already."""
    body: bytes = request.environ["wsgi.input"].getvalue()
    return body


def accepted_after(promise: asyncio.Future[None], answer: bytes) -> Response:
    """Return a 202 that is sent once the promise is kept."""
    request.environ[_PROMISE] = promise
    return Response(answer, 202, content_type=JSON)


async def answer_by_flask(app: Flask, scope: Scope, exchange: Exchange) -> None:
    """Answer one request."""
    environ = environ_of(scope, await exchange())
    begun: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_error: object) -> Any:
        begun.append((int(status[:3]), headers))

    answer = app(environ, start_response)
    body = b"".join(answer)
    answer.close()  # type: ignore[attr-defined]  # Werkzeug's iterator has it
    if promise := environ.get(_PROMISE):
        await promise
    exchange.response_bytes(*begun[0], body)


def answer_barely(exchange: Exchange, answer: bytes) -> None:
    """Send a 202 without Flask."""
    exchange.response_bytes(202, [("content-type", JSON)], answer)


def environ_of(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the environ of PEP 3333 for a request that has been read completely."""
    headers = scope.headers
    environ = _SAME_FOR_ALL | {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path,
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": scope.client,
        "CONTENT_TYPE": headers.get("content-type"),
        "CONTENT_LENGTH": headers.get("content-length"),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ
