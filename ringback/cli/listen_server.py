"""The HTTP server behind `ringback listen`: takes webhooks, judges their signatures, answers as it
was told to.

Follows Standard Webhooks 1.0 from the receiver's side. Prints nothing: it hands each webhook to
whoever made it.
"""

import hmac
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dispatcher.signer import sign

TOLERANCE_S = 300
"""How old a webhook's timestamp may be. Longer: a recorded request can be played back later.
Shorter: clocks must agree better.
"""

_BACKLOG = 128  # connections that may wait: a burst opens many at once
_IDLE_S = 60


@dataclass(frozen=True)
class Behaviour:
    """What to answer, after how long, and how many of a hundred to fail on purpose."""

    status: int
    delay_s: float
    fail_ratio: float

    def next_status(self) -> int:
        return 500 if random.random() < self.fail_ratio else self.status  # noqa: S311 - which request fails is no secret


@dataclass(frozen=True)
class Webhook:
    """One request as it came. `fault` says why it does not verify, None when it does. `answer` is
    the status sent back.
    """

    headers: Mapping[str, str]
    body: bytes
    fault: str | None
    answer: int

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "without an id")


def fault(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now_s: float
) -> str | None:
    """Why these are not the headers of a genuine webhook, or None. Header names are in lower case.
    """
    missing = [
        name
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        if not headers.get(name)
    ]
    if missing:
        return f"there is no header {missing[0]}"
    if not keys:
        return "there is no secret to verify it with: give --secret"
    timestamp = headers["webhook-timestamp"]
    if not (timestamp.isascii() and timestamp.isdigit()):
        return "webhook-timestamp is not in unix seconds"
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        return f"its timestamp is {now_s - int(timestamp):.0f} s old: replayed, or a clock is wrong"
    if not _signed(keys, headers, body):
        return "the signature does not fit: another secret, or the body was changed on its way"
    return None


def _signed(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes) -> bool:
    given = headers["webhook-signature"].encode().split()
    wanted = [
        sign([key], headers["webhook-id"], int(headers["webhook-timestamp"]), body).encode()
        for key in keys
    ]
    return any(hmac.compare_digest(one, other) for one in given for other in wanted)


class Receiver(ThreadingHTTPServer):
    """Listens on 127.0.0.1 from the moment it is made (OSError when the port is taken);
    `serve_forever` answers.
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
        """Somebody opened it in a browser."""
        self._answer(200, b"ringback listen: webhooks are POSTed here\n")

    def _answer(self, status: int, text: bytes = b"") -> None:
        self.send_response(status)
        if status not in (204, 304):  # those have no body, and may not say so
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
        """Not: what came is printed by whoever listens."""
