"""The HTTP server behind `ringback listen`: receives webhooks, checks their signatures, answers as
configured.

It follows Standard Webhooks 1.0 from the receiver's side. It prints nothing: each webhook is passed
to the caller, `ringback.cli.listen`.
"""

import hmac
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from schemas.signature import sign

TOLERANCE_S = 300
"""How old a webhook's timestamp may be. Longer: a recorded request can be replayed later. Shorter:
clocks must agree better.
"""

_BACKLOG = 128  # connections that may wait: a burst opens many at once
_IDLE_S = 60


@dataclass(frozen=True)
class Behaviour:
    """How the server answers."""

    status: int
    """The status of an answer that does not fail on purpose."""
    delay_s: float
    """The delay before each answer."""
    fail_ratio: float
    """The share of requests to answer with 500, from 0 to 1."""

    def next_status(self) -> int:
        """Return the status of the next answer."""
        fails = random.random() < self.fail_ratio  # noqa: S311 - which request fails is no secret
        return 500 if fails else self.status


@dataclass(frozen=True)
class Webhook:
    """One request as it came."""

    headers: Mapping[str, str]
    """Names are in lower case."""
    body: bytes
    fault: str | None
    """Why it does not verify; None when it does."""
    answer: int
    """The status that is sent back."""

    @property
    def id(self) -> str:
        """The event's id, or words for its absence."""
        return self.headers.get("webhook-id", "without an id")


def fault(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now_s: float
) -> str | None:
    """Return why a webhook is not genuine, or None. Header names are in lower case."""
    missing = [
        name
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        if not headers.get(name)
    ]
    if missing:
        return f"the header {missing[0]} is missing"
    if not keys:
        return "no secret to verify it with: give --secret"
    timestamp = headers["webhook-timestamp"]
    if not (timestamp.isascii() and timestamp.isdigit()):
        return "webhook-timestamp is not in Unix seconds"
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        return f"its timestamp is {now_s - int(timestamp):.0f} s old: a replay, or a wrong clock"
    if not _signed(keys, headers, body):
        return "the signature does not match: another secret, or the body was changed in transit"
    return None


def _signed(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes) -> bool:
    given = headers["webhook-signature"].encode().split()
    expected = [
        sign([key], headers["webhook-id"], int(headers["webhook-timestamp"]), body).encode()
        for key in keys
    ]
    return any(hmac.compare_digest(signature, other) for signature in given for other in expected)


class Receiver(ThreadingHTTPServer):
    """A server that listens on 127.0.0.1 once it is created; `serve_forever` answers. Raises
    OSError when the port is in use.
    """

    request_queue_size = _BACKLOG
    daemon_threads = True

    def __init__(
        self,
        port: int,
        keys: Sequence[bytes],
        behaviour: Behaviour,
        received: Callable[[Webhook], None],
    ):
        super().__init__(("127.0.0.1", port), _Handler)
        self.keys, self.behaviour, self.received = keys, behaviour, received


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"  # connections are kept, as a dispatcher keeps them
    server_version, sys_version = "ringback-listen", ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.behaviour.next_status()
        self.server.received(
            Webhook(headers, body, fault(self.server.keys, headers, body, time.time()), status)
        )
        time.sleep(self.server.behaviour.delay_s)
        self._answer(status)

    def do_GET(self) -> None:
        """Answer a browser."""
        self._answer(200, b"ringback listen: webhooks are POSTed here\n")

    def _answer(self, status: int, text: bytes = b"") -> None:
        self.send_response(status)
        if status not in (204, 304):  # these have no body, nor its length
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(
        self,
        format: str,  # noqa: A002 - the library's signature
        *args: object,
    ) -> None:
        """Suppress the default log; the caller prints requests."""
