"""A client of the HTTP API for tests: standard library only, one connection per thread, nothing
ever sent twice.
"""

import concurrent.futures
import http.client
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

_IDLE_S = 0.5  # an older connection may have been closed under us
_TIMEOUT_S = 30


class Answer(NamedTuple):
    """`data` is the JSON, or the bytes of any other body."""

    status: int
    headers: dict[str, str]
    data: Any


class Published(NamedTuple):
    """What became of many publishes: ids of what was accepted, how often each status came, seconds
    each took.
    """

    ids: list[str]
    statuses: Counter[int]
    latencies_s: list[float]


class Client:
    """Speaks with one bearer token, or with none. A context manager: at its end all connections are
    closed.
    """

    def __init__(self, port: int, token: str | None):
        self.port, self.token, self._local = port, token, threading.local()
        self._open: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """A dict or list is sent as JSON, bytes as they are. Raises OSError and HTTPException."""
        sent = {"authorization": f"Bearer {self.token}"} if self.token else {}
        if isinstance(body, dict | list):
            body = json.dumps(body, ensure_ascii=False).encode()
        if body is not None:
            sent["content-type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(
                method,
                path,
                body,
                sent | {name.replace("_", "-"): value for name, value in headers.items()},
            )  # type: ignore[arg-type]  # bytes or None by now
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._local.connection = None
            raise
        self._local.used_s = time.monotonic()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(
            response.status,
            names,
            json.loads(data or b"null") if "json" in names.get("content-type", "") else data,
        )

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def find(self, path: str) -> Any:
        """The same, or None while it is not there: an event can be read up to a second after its
        202.
        """
        answer = self.call("GET", path)
        assert answer.status in (200, 404), f"GET {path}: {answer.status} {answer.data}"
        return answer.data if answer.status == 200 else None

    def send(self, method: str, path: str, body: object = None) -> Any:
        """What a request that succeeds answers."""
        answer = self.call(method, path, body)
        assert answer.status in range(200, 300), f"{method} {path}: {answer.status} {answer.data}"
        return answer.data

    def publish(self, event: object) -> str:
        """The id of the accepted event."""
        answer = self.call("POST", "/v1/events", event)
        assert answer.status == 202, f"POST /v1/events: {answer.status} {answer.data}"
        return str(answer.data["id"])

    def publish_many(
        self, events: Sequence[object], clients: int = 32, rate: float = math.inf
    ) -> Published:
        """Each once, from so many threads, at most `rate` a second. A connection that breaks counts
        as status 0.
        """
        ids: list[str] = []
        statuses: Counter[int] = Counter()
        latencies_s: list[float] = []
        began_s = time.monotonic()

        def one(number: int, event: object) -> None:
            time.sleep(max(0.0, began_s + number / rate - time.monotonic()))
            sent_s = time.monotonic()
            try:
                answer = self.call("POST", "/v1/events", event)
            except (OSError, http.client.HTTPException):
                answer = Answer(0, {}, None)
            latencies_s.append(time.monotonic() - sent_s)
            statuses[answer.status] += 1
            if answer.status == 202:
                ids.append(answer.data["id"])

        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            list(pool.map(one, range(len(events)), events))
        return Published(ids, statuses, sorted(latencies_s))

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None or time.monotonic() - self._local.used_s > _IDLE_S:
            if connection is not None:
                connection.close()
            connection = self._local.connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=_TIMEOUT_S
            )
            self._open.append(connection)
            self._local.used_s = time.monotonic()
        return connection
