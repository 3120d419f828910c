"""One POST: its request and its response. Plain values, used on both sides of the sender."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from schemas.deliveries.deliveries import Outcome
from schemas.deliveries.phases import NO_PHASES, Phases


class Request(msgspec.Struct, frozen=True):
    """A POST to send."""

    url: str
    """The address, as it was saved."""

    headers: Sequence[str]
    """Whole lines, `name: value`."""

    body: bytes
    """The body, sent byte for byte."""


class HttpResponse(msgspec.Struct, frozen=True):
    """The result of a request: a response, or the reason why none came."""

    status_code: int | None
    """The HTTP status. Set also with a `failure` when the response had begun."""

    retry_after: str | None
    """The header `Retry-After`; None for 2xx, where it is not read."""

    body: bytes
    """The beginning of the response's body."""

    failure: Outcome | None
    """None when the whole head of a response came, whatever its status; else why none came."""

    error: str | None
    """The failure in Ringback's words. With a response: what was wrong with the rest of it."""

    duration_s: float
    """Seconds from `post` to the end of the transfer."""

    location: str | None = None
    """The header `Location`; None for 2xx, where it is not read."""

    internal_error: Exception | None = None
    """The bug that ended the reading of the response; `failure` is set too."""

    raw_detail: str | None = None
    """The failure in a library's words, which may quote the receiver: never logged."""

    headers: dict[str, str] | None = None
    """The response's headers as they are stored; None when its head did not come whole."""

    address: str | None = None
    """The socket address of the connection, or else of the last try to connect; None: no connection
    was tried.
    """

    phases: Phases = NO_PHASES
    """How long the phases took."""


OnResponse = Callable[[HttpResponse], None]
"""A callback that gets the response of one request."""


class HttpSender(Protocol):
    """The seam for sending HTTP requests; `dispatcher.http.sender` is the real one."""

    def post(self, request: Request, on_response: OnResponse) -> None:
        """Start one request. `on_response` is called once, later, on the event loop."""
