"""A steady load: posts events over HTTP at a fixed rate until it is stopped, and remembers how
each was answered.

On a thread and an event loop of its own. A `Load` posts nothing twice: what is not answered 202 was
not accepted.
"""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import uvloop

from tests.chaos.counting import Posted
from tests.kit.client import Client
from tests.kit.platform import message

ANSWER_LIMIT_S = 20.0
"""An answer that takes longer counts as none. Longer than any promise, so that a broken promise is
measured, not cut off.
"""

_MOST_AT_ONCE = 64
"""Requests in flight. An event whose turn comes meanwhile waits with its clock running: a stall is
not hidden.
"""

_IDLE_S = 0.5
_TRIES = 10

Event = tuple[str, dict[str, Any]]
"""The path at which its webhook belongs, and the event, with an id."""


def messages(targets: dict[str, str], prefix: str = "evt") -> Iterator[Event]:
    """`message.received` without end, for each channel in turn; `targets`: channel → path. Each in
    a conversation of its own.
    """
    for number, (channel, path) in enumerate(itertools.cycle(targets.items())):
        yield path, message(number, channel=channel, id=f"{prefix}_{number}")


def post_batch(client: Client, batch: Sequence[dict[str, Any]]) -> tuple[list[str], int]:
    """Its ids, and how often it took a 503 and was posted again: as the contract asks, with the ids
    that the 503 named.
    """
    for again in range(_TRIES):
        answer = client.call("POST", "/v1/events/batch", {"events": list(batch)})
        ids: list[str] = answer.data["ids"]
        if answer.status == 202:
            return ids, again
        batch = [event | {"id": event_id} for event, event_id in zip(batch, ids, strict=True)]
        time.sleep(1.0)
    raise AssertionError(f"a batch was refused {_TRIES} times: {answer.status}")


class Load:
    """A context manager: posts `events` at `rate` a second while inside; leaving waits for the last
    answers.
    """

    def __init__(self, port: int, token: str, events: Iterator[Event], rate: float):
        self._port, self._events, self._rate = port, events, rate
        self._head = (
            f"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
            "content-type: application/json\r\n"
        ).encode()
        self.posted: list[Posted] = []
        self._idle: list[
            tuple[asyncio.StreamReader, asyncio.StreamWriter, float]
        ] = []  # and since when
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=lambda: uvloop.run(self._run()), name="load", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Post no more; returns when all that was posted is answered."""
        self._stopping.set()
        self._thread.join(2 * ANSWER_LIMIT_S)

    async def _run(self) -> None:
        places = asyncio.Semaphore(_MOST_AT_ONCE)
        began_s = time.time()
        async with asyncio.TaskGroup() as tasks:
            for number, (path, event) in enumerate(self._events):
                due_s = began_s + number / self._rate
                await asyncio.sleep(max(0.0, due_s - time.time()))
                await places.acquire()
                if self._stopping.is_set():
                    break
                tasks.create_task(self._post(path, event, due_s)).add_done_callback(
                    lambda _: places.release()
                )
        for _, writer, _ in self._idle:
            writer.close()

    async def _post(self, path: str, event: dict[str, Any], due_s: float) -> None:
        body = json.dumps(event, ensure_ascii=False).encode()
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                status, head, said = await self._answer(
                    b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)
                )
        except (OSError, EOFError, TimeoutError):
            status, head, said = 0, b"", b""
        why = "" if status == 202 else said.decode(errors="replace")
        self.posted.append(
            Posted(event["id"], path, due_s, time.time(), status, b"retry-after:" in head, why)
        )

    async def _answer(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Status, head in small letters, and body. A connection that broke is not used again."""
        reader, writer = await self._connection()
        kept = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            said = await reader.readexactly(_length(head))
            kept = b"connection: close" not in head
        finally:
            if kept:
                self._idle.append((reader, writer, time.monotonic()))
            else:
                writer.close()
        return int(head[9:12]), head, said

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that was used just now, else a new one: an older one may have been closed under us,
        which would look like no answer.
        """
        while self._idle:
            reader, writer, since_s = self._idle.pop()
            if time.monotonic() - since_s < _IDLE_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)


def _length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
