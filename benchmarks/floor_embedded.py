"""The floor of embedded mode, on one event loop: granian, Flask and libcurl there, and one thread
that commits to SQLite what has gathered.

    python -m benchmarks.floor_embedded PORT RECEIVER_URL DATABASE_FILE

An event is answered once its commit is on disk (WAL, `synchronous=FULL`), then posted, and its
outcome is part of a later commit. Each commit wakes the loop once.
"""

import asyncio
import sqlite3
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import uvloop
from flask import Flask, Response
from granian.constants import Interfaces
from granian.server.embed import Server

from benchmarks.floor_events import Accepted, read_event
from benchmarks.floor_flask import (
    IS_BARE,
    Exchange,
    Scope,
    accepted_after,
    answer_barely,
    answer_by_flask,
    body_of_request,
)
from benchmarks.floor_sender import Sender, signed_headers

_BACKLOG = 1024
_SETTINGS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
_TABLES = (
    "CREATE TABLE IF NOT EXISTS events (id text PRIMARY KEY, type text, body blob, at real)",
    "CREATE TABLE IF NOT EXISTS outbox (id text PRIMARY KEY)",
    (
        "CREATE TABLE IF NOT EXISTS deliveries "
        "(id text PRIMARY KEY, event text, status int, ms int, at real)"
    ),
)


class Arrived(NamedTuple):
    """An event to commit; the promise is kept afterwards."""

    event: Accepted
    promise: asyncio.Future[None]


class Outcome(NamedTuple):
    """An answered webhook: its delivery row."""

    row: tuple[str, str, int, int, float]


class Writer(threading.Thread):
    """The only connection that writes. Each commit has all that arrived during the one before."""

    def __init__(self, database_file: str, committed: Callable[[list[Arrived]], object]) -> None:
        super().__init__(daemon=True)
        self._file, self._committed = database_file, committed
        self._waiting: deque[Arrived | Outcome] = deque()
        self._some = threading.Semaphore(0)

    def add(self, item: Arrived | Outcome) -> None:
        self._waiting.append(item)
        self._some.release()

    def run(self) -> None:
        database = sqlite3.connect(self._file, isolation_level=None)
        for statement in _SETTINGS + _TABLES:
            database.execute(statement)
        while self._some.acquire():
            if items := [self._waiting.popleft() for _ in range(len(self._waiting))]:
                self._write(database, items)

    def _write(self, database: sqlite3.Connection, items: list[Arrived | Outcome]) -> None:
        arrived = [item for item in items if isinstance(item, Arrived)]
        rows = [item.row for item in items if isinstance(item, Outcome)]
        now = time.time()
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)",
            [(*a.event[:3], now) for a in arrived],
        )
        database.executemany(
            "INSERT OR IGNORE INTO outbox VALUES (?)", [a.event[:1] for a in arrived]
        )
        database.executemany("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?)", rows)
        database.executemany("DELETE FROM outbox WHERE id = ?", [row[1:2] for row in rows])
        database.execute("COMMIT")
        if arrived:
            self._committed(arrived)


class Floor:
    """A dispatcher that posts what the writer has committed, and returns the outcomes to it."""

    def __init__(self, receiver_url: str, database_file: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._receiver_url, self._sender = receiver_url, Sender(self._loop)
        self._writer = Writer(
            database_file,
            lambda arrived: self._loop.call_soon_threadsafe(self._deliver, arrived),
        )
        self._writer.start()
        self._flask = Flask(__name__)
        self._flask.post("/v1/events")(self._accept)

    async def serve(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        if not IS_BARE:
            await answer_by_flask(self._flask, scope, exchange)
            return
        answer, promise = self._take(await exchange())
        await promise
        answer_barely(exchange, answer)

    def _accept(self) -> Response:
        answer, promise = self._take(body_of_request())
        return accepted_after(promise, answer)

    def _take(self, body: bytes) -> tuple[bytes, asyncio.Future[None]]:
        """Return the answer, and the promise that its event is on disk."""
        event, promise = read_event(body), self._loop.create_future()
        self._writer.add(Arrived(event, promise))
        return event.answer, promise

    def _deliver(self, arrived: list[Arrived]) -> None:
        for event, promise in arrived:
            if not promise.done():  # its client may have gone, and its request been cancelled
                promise.set_result(None)
            self._deliver_one(event)

    def _deliver_one(self, event: Accepted) -> None:
        started = time.perf_counter()

        def answered(answer: asyncio.Future[int]) -> None:
            took_ms = int((time.perf_counter() - started) * 1000)
            self._writer.add(
                Outcome((uuid.uuid4().hex, event.event_id, answer.result(), took_ms, time.time()))
            )

        headers = signed_headers(event.event_id, event.message)
        self._sender.post(self._receiver_url, headers, event.message).add_done_callback(answered)


async def _main(port: str, receiver_url: str, database_file: str) -> None:
    server = Server(
        Floor(receiver_url, database_file).serve,
        address="127.0.0.1",
        port=int(port),
        interface=Interfaces.RSGI,
        websockets=False,
        log_enabled=False,
        backlog=_BACKLOG,
    )
    await server.serve()


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
