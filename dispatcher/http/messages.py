"""One POST: the request, and what came of it. Plain values, made and read on both sides of the
sender.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from schemas.deliveries.deliveries import Outcome


class Request(msgspec.Struct, frozen=True):
    """A POST. `headers` are whole lines, `name: value`; the body goes out byte for byte."""

    url: str
    headers: Sequence[str]
    body: bytes


class HttpResponse(msgspec.Struct, frozen=True):
    """What came of a request, timed from `post`.

    `failure` is None when the whole head of an HTTP answer came (whatever its status) and else says why none did. `error` says it in
    words of ours; beside an answer, what was wrong with the rest of it. `behind` are the words of a library that stand behind these:
    they may quote the receiver. `status_code` may be there beside a failure: the answer began. `retry_after` and `location` are the
    headers, not read for 2xx. `internal_error` is what went wrong on our side while the answer was read; it counts as a failure too.
    """

    status_code: int | None
    retry_after: str | None
    body: bytes
    failure: Outcome | None
    error: str | None
    duration_s: float
    location: str | None = None
    internal_error: Exception | None = None
    behind: str | None = None


OnAnswer = Callable[[HttpResponse], None]


class HttpSender(Protocol):
    """Sends HTTP requests; `dispatcher.http.sender` is the real one."""

    def post(self, request: Request, on_answer: OnAnswer) -> None:
        """Start one request. `on_answer` is called with its response on the event loop, once."""
