"""The client behind `ringback emit`: publishes events over HTTP on several connections, never
faster than requested.

An event that is not accepted now is sent again under the same id, which makes it one event.
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
from schemas.events.samples import JsonObject

CONNECTIONS = 8
"""More: a higher rate, until the server is busy. Fewer: less load on a shared machine."""

# What the first line of a request, and the name of a host, may hold.
_VISIBLE = re.compile("[!-~]+")
_TIMEOUT_S = 30.0
_NOT_NOW = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_LONGEST_WAIT_S = 60.0  # the most that is waited as an answer asks: a proxy may ask for an hour
# Before each repetition; together about as long as a broker takes to restart.
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class EmitTarget(NamedTuple):
    """The address of an API: the parts of its URL that matter here."""

    secure: bool
    host: str
    port: int | None
    path: str


def read_url(url: str) -> EmitTarget:
    """Read the URL of an API. Raises ValueError, which never repeats it: people paste URLs with a
    password in them.
    """
    url = url.strip()
    if not _VISIBLE.fullmatch(url):
        raise ValueError(
            "the URL contains a blank or a character that is not ASCII: write a host as xn--…, "
            "anything else percent-encoded"
        )
    if "@" in url:
        raise ValueError(
            "the URL contains a user or an @: omit it, as only the token in RINGBACK_TOKEN is sent "
            "to the API"
        )
    if "?" in url or "#" in url:
        raise ValueError(
            "the URL contains ? or #: omit it and what follows, as /v1/events is appended"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as connecting does, for ASCII too: each label has 1 to 63 characters
    except ValueError:  # UnicodeError is one
        raise ValueError(
            "the URL is invalid: check its host and its port, a number up to 65535"
        ) from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("this is not a URL such as http://127.0.0.1:8080")
    return EmitTarget(parts.scheme == "https", host, port, parts.path.rstrip("/"))


class EmitPace:
    """A limit of `rate` passes a second, evenly spaced; no limit when it is None. Thread-safe."""

    def __init__(self, rate: float | None):
        self._gap_s = 1 / rate if rate else 0.0
        self._next_s = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Block until the next pass."""
        with self._lock:
            at_s = max(self._next_s, time.monotonic())
            self._next_s = at_s + self._gap_s
        time.sleep(max(0.0, at_s - time.monotonic()))


class _NotNow(Exception):
    """The API may accept the event later, after `wait_s` if its answer says so. Without any answer
    so far, probably nothing listens there.
    """

    def __init__(self, why: str, *, status: int | None = None, wait_s: float = 0.0):
        super().__init__(why)
        self.status, self.wait_s = status, wait_s


class Publishing:
    """One run of `emit`. The first refused event ends it, as the others would be refused too."""

    def __init__(
        self,
        address: EmitTarget,
        token: str,
        throttle: EmitPace,
        accepted: Callable[[str], None],
    ):
        self._address, self._token = address, token
        self._throttle, self._accepted = throttle, accepted
        self._local = threading.local()
        self._iterating = threading.Lock()
        self._ended = threading.Event()
        self._was_answered = False

    def run(self, events: Iterator[JsonObject]) -> None:
        """Publish all events. Raises RingbackError, which says what is wrong and what to do."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            try:
                for working in [pool.submit(self._work, events) for _ in range(CONNECTIONS)]:
                    working.result()
            finally:  # also on Ctrl-C: the other threads stop after their current event
                self._ended.set()

    def _work(self, events: Iterator[JsonObject]) -> None:
        try:
            while (event := self._next(events)) is not None:
                self._throttle.wait()
                self._until_accepted(event)
        finally:
            self._ended.set()

    def _next(self, events: Iterator[JsonObject]) -> JsonObject | None:
        with self._iterating:
            return None if self._ended.is_set() else next(events, None)

    def _until_accepted(self, event: JsonObject) -> None:
        pauses_s = iter(_PAUSES_S)
        while True:
            try:
                self._post(event)
            except _NotNow as error:
                # 429 says how fast this client may be, and recurs as long as there are events: it
                # does not count against the repetitions.
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

    def _post(self, event: JsonObject) -> None:
        """Publish an event. Raises _NotNow, or RingbackError for an answer that will not change."""
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
                f"no answer from {where} ({error or type(error).__name__}): is `ringback serve` "
                "running there?"
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
            connect = (
                http.client.HTTPSConnection if self._address.secure else http.client.HTTPConnection
            )
            connection = self._local.connection = connect(
                self._address.host, self._address.port, timeout=_TIMEOUT_S
            )
        return connection


def _read(response: http.client.HTTPResponse) -> Any:
    try:
        return json.loads(response.read())
    except ValueError:
        return {}


def _wait_s(response: http.client.HTTPResponse) -> float:
    """Return the seconds of `Retry-After`. A date, which a proxy may send, counts as 0."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT_S) if text.isascii() and text.isdigit() else 0.0


def _why(status: int, answer: Any) -> str:
    detail = answer.get("detail") if isinstance(answer, dict) else None
    text = f"the API answered {status}" + (f": {detail}" if detail else "")
    if status == 401:
        return f"{text} (is the token in RINGBACK_TOKEN correct?)"
    if status == 403:
        return f"{text} (the token in RINGBACK_TOKEN needs events:publish)"
    return text
