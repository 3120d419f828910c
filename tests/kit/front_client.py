"""Requests to the API behind the HTTP server's parser, without a socket."""

from typing import Any
from urllib.parse import quote

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse

from tests.kit.loop_thread import LoopThread
from web.server.limits import BodyMemory, Limits
from web.server.messages import Answer, Front
from web.server.reader import RequestReader

_QUERY = "!$%&'()*+,-./:;=?@[]_~"


class FrontClient:
    """Sends a request as bytes, as one client of a server does."""

    def __init__(self, front: Front, loop: LoopThread):
        self._front, self._loop = front, loop

    def open(self, path: str, **request: Any) -> TestResponse:
        """`request` is for `EnvironBuilder`."""
        builder = EnvironBuilder(path, **request)
        environ = builder.get_environ()
        limits = Limits()
        reader = RequestReader(
            self._front,
            limits,
            BodyMemory(limits),
            str(environ.get("REMOTE_ADDR", "127.0.0.1")),
        )
        reader.feed(_bytes(environ))
        status, headers, body = self._loop.call(self._answered(reader))
        return TestResponse(iter([body]), str(status), Headers(headers), builder.get_request())

    async def _answered(self, reader: RequestReader) -> tuple[int, list[tuple[str, str]], bytes]:
        incoming = reader.ready.popleft()
        if incoming.request is None:
            assert incoming.problem is not None
            answer = self._front.refuse(incoming.problem)
        else:
            answer = await self._front.answer(incoming.request)
        body = await _body(answer)
        length = len(body) if answer.length is None else answer.length
        return answer.status, [*answer.headers, ("Content-Length", str(length))], body


async def _body(answer: Answer) -> bytes:
    if isinstance(answer.body, bytes):
        return answer.body
    return b"".join([piece async for piece in answer.body])


def _bytes(environ: dict[str, Any]) -> bytes:
    target = quote(environ["PATH_INFO"], safe="/:", encoding="latin-1")
    if environ["QUERY_STRING"]:
        target += f"?{quote(environ['QUERY_STRING'], safe=_QUERY, encoding='latin-1')}"
    head = [f"{environ['REQUEST_METHOD']} {target} HTTP/1.1"]
    head += [
        f"{key[5:].replace('_', '-')}: {value}"
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    if environ.get("CONTENT_TYPE"):
        head.append(f"Content-Type: {environ['CONTENT_TYPE']}")
    body: bytes = environ["wsgi.input"].read()
    if "HTTP_TRANSFER_ENCODING" in environ:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif environ.get("CONTENT_LENGTH") not in {None, "0"}:
        head.append(f"Content-Length: {environ['CONTENT_LENGTH']}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
