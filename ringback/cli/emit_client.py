"""The client behind `ringback emit`: publishes events over HTTP, from several connections at once,
never faster than asked.

An event that could not be taken just now is sent again under the same id: twice the same id is one
event.
"""

import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from schemas.errors import RingbackError

CONNECTIONS = 8
"""More: a higher rate, until the server's threads are all busy. Fewer: less load on a machine that
others use.
"""

_VISIBLE = re.compile(
    "[!-~]+"
)  # ASCII: what the first line of a request, and the name of a host, may hold
_TIMEOUT_S = 30.0
_NOT_NOW = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_LONGEST_WAIT_S = 60.0  # that is waited as an answer asks: a proxy may ask for an hour
_PAUSES_S = (
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
)  # before each repetition; together about as long as a broker takes to come back


class EmitTarget(NamedTuple):
    """Where an API is: the parts of its URL that matter here."""

    secure: bool
    host: str
    port: int | None
    path: str


def read_url(url: str) -> EmitTarget:
    """Raises ValueError, which shows nothing of it: people paste URLs with a password in them."""
    url = url.strip()
    if not _VISIBLE.fullmatch(url):
        raise ValueError(
            "the URL holds a blank, or a character that is not ASCII: write a host as xn--…, anything else percent-encoded"
        )
    if "@" in url:
        raise ValueError(
            "the URL holds a user or an @: write it without, as the API is shown the token in RINGBACK_TOKEN alone"
        )
    if "?" in url or "#" in url:
        raise ValueError("the URL holds ? or #: end it before, as /v1/events comes after it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as connecting does, for ASCII too: each label has 1 to 63 characters
    except ValueError:  # UnicodeError is one
        raise ValueError(
            "the URL cannot be read: check its host and its port, a number up to 65535"
        ) from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("it is not a URL such as http://127.0.0.1:8080")
    return EmitTarget(parts.scheme == "https", host, port, parts.path.rstrip("/"))


class Throttle:
    """Lets `rate` pass a second, evenly; all at once when it is None. Thread-safe."""

    def __init__(self, rate: float | None):
        self._gap_s = 1 / rate if rate else 0.0
        self._next_s = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            at_s = max(self._next_s, time.monotonic())
            self._next_s = at_s + self._gap_s
        time.sleep(max(0.0, at_s - time.monotonic()))


class _NotNow(Exception):
    """It may be taken later, after `wait_s` if the answer says so; without any answer so far there
    is probably nobody.
    """

    def __init__(self, why: str, *, status: int | None = None, wait_s: float = 0.0):
        super().__init__(why)
        self.status, self.wait_s = status, wait_s


class Publishing:
    """One run. The first event that is refused ends it: the others would be refused too."""

    def __init__(
        self, address: EmitTarget, token: str, pace: Throttle, accepted: Callable[[str], None]
    ):
        self._address, self._token, self._pace, self._accepted = address, token, pace, accepted
        self._local = threading.local()
        self._taking = threading.Lock()
        self._ended = threading.Event()
        self._was_answered = False

    def run(self, events: Iterator[dict[str, Any]]) -> None:
        """Publish all of them. Raises RingbackError saying what is wrong and what to do."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            try:
                for working in [pool.submit(self._work, events) for _ in range(CONNECTIONS)]:
                    working.result()
            finally:  # also on Ctrl-C: the others stop after the event that they have in hand
                self._ended.set()

    def _work(self, events: Iterator[dict[str, Any]]) -> None:
        try:
            while (event := self._next(events)) is not None:
                self._pace.wait()
                self._until_accepted(event)
        finally:
            self._ended.set()

    def _next(self, events: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
        with self._taking:
            return None if self._ended.is_set() else next(events, None)

    def _until_accepted(self, event: dict[str, Any]) -> None:
        pauses_s = iter(_PAUSES_S)
        while True:
            try:
                self._post(event)
            except _NotNow as error:
                # 429 is no trouble that has to end: it says how fast we may be, and goes on for as
                # long as there are events
                pause_s = (
                    _PAUSES_S[0]
                    if error.status == HTTPStatus.TOO_MANY_REQUESTS
                    else next(pauses_s, None)
                )
                if pause_s is None or not (error.status or self._was_answered):
                    raise RingbackError(str(error)) from error
                time.sleep(max(pause_s, error.wait_s))
            else:
                self._accepted(event["id"])
                return

    def _post(self, event: dict[str, Any]) -> None:
        """Raises _NotNow, and RingbackError for an answer that repeating would not change."""
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        connection = self._connection()
        try:
            connection.request(
                "POST", f"{self._address.path}/v1/events", json.dumps(event), headers
            )
            response = connection.getresponse()
            answer = _read(response)
        except (OSError, http.client.HTTPException) as error:
            self._local.connection = None
            connection.close()
            where = f"{self._address.host}:{connection.port}"
            raise _NotNow(
                f"no answer from {where} ({error or type(error).__name__}): is `ringback serve` running there?"
            ) from error
        self._was_answered = True
        if response.status in _NOT_NOW or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _NotNow(
                _why(response.status, answer), status=response.status, wait_s=_wait_s(response)
            )
        if response.status != 202:
            raise RingbackError(_why(response.status, answer))

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            kind = (
                http.client.HTTPSConnection if self._address.secure else http.client.HTTPConnection
            )
            connection = self._local.connection = kind(
                self._address.host, self._address.port, timeout=_TIMEOUT_S
            )
        return connection


def _read(response: http.client.HTTPResponse) -> Any:
    try:
        return json.loads(response.read())
    except ValueError:
        return {}


def _wait_s(response: http.client.HTTPResponse) -> float:
    """Ringback says it in seconds. What a proxy says otherwise counts as nothing."""
    said = response.headers.get("Retry-After", "")
    return min(float(said), _LONGEST_WAIT_S) if said.isascii() and said.isdigit() else 0.0


def _why(status: int, answer: Any) -> str:
    detail = answer.get("detail") if isinstance(answer, dict) else None
    told = f"the API answered {status}" + (f": {detail}" if detail else "")
    if status == 401:
        return f"{told} (is the token in RINGBACK_TOKEN the right one?)"
    if status == 403:
        return f"{told} (the token in RINGBACK_TOKEN needs events:publish)"
    return told
