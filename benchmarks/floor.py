"""The floor of a dispatcher: RabbitMQ to PostgreSQL to HTTP, without any feature. A signal ends it.

    python -m benchmarks.floor AMQP_URL POSTGRES_URL RECEIVER_URL

Events are consumed from a quorum queue, inserted in batches (the claim), posted signed, recorded in
batches (the settlement) and then acknowledged. No matching, lanes, retries or metrics. What a full
dispatcher reaches is a fraction of this one's rate.
"""

import asyncio
import datetime as dt
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import orjson
import pika
import psycopg
import uvloop

from benchmarks.floor_events import QUEUE
from benchmarks.floor_sender import Sender, signed_headers
from benchmarks.one_write import OneWrite

_BATCH = 200
"""Events in one transaction at most. More: hardly faster. One at a time commits a tenth as fast."""
_PREFETCH = 2000
"""Unacknowledged messages. More: only more memory. Fewer: the broker's answers are waited for."""

_TABLES = """
DROP TABLE IF EXISTS floor_events, floor_deliveries;
CREATE TABLE floor_events (id text PRIMARY KEY, type text, body bytea, at timestamptz);
CREATE TABLE floor_deliveries
    (id text PRIMARY KEY, event_id text, status int, ms int, at timestamptz);
CREATE INDEX ON floor_deliveries (event_id);
"""
_CLAIM = """
INSERT INTO floor_events
SELECT * FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::timestamptz[])
ON CONFLICT DO NOTHING
"""


class Arrived(NamedTuple):
    """One unacknowledged message."""

    event_id: str
    event_type: str
    body: bytes
    tag: int


class Outcome(NamedTuple):
    """One answered webhook: its message's delivery tag and its row."""

    tag: int
    row: tuple[str, str, int, int, dt.datetime]


class Ledger:
    """The database, on two connections: claims and settlements do not wait for each other."""

    def __init__(self, url: str) -> None:
        self._claims, self._records = psycopg.connect(url), psycopg.connect(url)
        self._claims.execute(_TABLES)
        self._claims.commit()

    def claim(self, batch: list[Arrived]) -> None:
        now = dt.datetime.now(dt.UTC)
        columns = [
            [a.event_id for a in batch],
            [a.event_type for a in batch],
            [a.body for a in batch],
            [now] * len(batch),
        ]
        with self._claims.cursor(binary=True) as cursor:
            cursor.execute(_CLAIM, columns)
        self._claims.commit()

    def record(self, batch: list[Outcome]) -> None:
        with (
            self._records.cursor() as cursor,
            cursor.copy("COPY floor_deliveries FROM STDIN") as copy,
        ):
            for outcome in batch:
                copy.write_row(outcome.row)
        self._records.commit()


class Floor:
    """A dispatcher with one claim and one settlement at a time. What arrives meanwhile is the next
    batch.
    """

    def __init__(self, ledger: Ledger, receiver_url: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._ledger, self._receiver_url, self._sender = ledger, receiver_url, Sender(self._loop)
        self._claimer, self._recorder = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._arrived: list[Arrived] = []
        self._outcomes: list[Outcome] = []
        self._came, self._answered = asyncio.Event(), asyncio.Event()

    async def run(self, amqp_url: str) -> None:
        self._connection = OneWrite(
            pika.URLParameters(amqp_url), on_open_callback=self._opened, custom_ioloop=self._loop
        )
        await asyncio.gather(self._claim(), self._settle())

    def _opened(self, connection: OneWrite) -> None:
        connection.channel(on_open_callback=self._consume)

    def _consume(self, channel: Any) -> None:
        self._channel = channel
        channel.basic_qos(
            prefetch_count=_PREFETCH,
            callback=lambda _ok: channel.basic_consume(QUEUE, self._on_message),
        )

    def _on_message(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        event = orjson.loads(body)
        self._arrived.append(Arrived(event["id"], event["type"], body, method.delivery_tag))
        self._came.set()

    async def _claim(self) -> None:
        while await self._came.wait():
            self._came.clear()
            while self._arrived:
                batch, self._arrived[:_BATCH] = self._arrived[:_BATCH], []
                await self._loop.run_in_executor(self._claimer, self._ledger.claim, batch)
                for arrived in batch:
                    self._deliver(arrived)

    def _deliver(self, arrived: Arrived) -> None:
        started = time.perf_counter()

        def answered(answer: asyncio.Future[int]) -> None:
            took_ms = int((time.perf_counter() - started) * 1000)
            row = (
                uuid.uuid4().hex,
                arrived.event_id,
                answer.result(),
                took_ms,
                dt.datetime.now(dt.UTC),
            )
            self._outcomes.append(Outcome(arrived.tag, row))
            self._answered.set()

        headers = signed_headers(arrived.event_id, arrived.body)
        self._sender.post(self._receiver_url, headers, arrived.body).add_done_callback(answered)

    async def _settle(self) -> None:
        while await self._answered.wait():
            self._answered.clear()
            while self._outcomes:
                batch, self._outcomes[:_BATCH] = self._outcomes[:_BATCH], []
                await self._loop.run_in_executor(self._recorder, self._ledger.record, batch)
                with self._connection.one_write():
                    for outcome in batch:
                        self._channel.basic_ack(outcome.tag)


async def _main(amqp_url: str, postgres_url: str, receiver_url: str) -> None:
    await Floor(Ledger(postgres_url), receiver_url).run(amqp_url)


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
