"""Publishing dead letters to the broker. Those that it refuses, as their queue is full or it is
blocked, go into the outbox.

Letters must not stay in memory: a source that holds as many messages as it may gets no more, and
every event waits behind them. Lives on the event loop of `source`, with a connection of its own.
"""

import asyncio
import collections
from collections.abc import Callable

import msgspec

from exchange.port import QueuedMessage
from exchange.rabbit.confirms import Confirms, PendingPublish
from exchange.rabbit.into_outbox import REASON_LENGTH, fitting, row, store
from exchange.topology import (
    ACCEPTED_AT_HEADER,
    DEAD_EXCHANGE,
    DEAD_LETTERED_AT_HEADER,
    REASON_HEADER,
)
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import now_ms
from store.engine.database import Database

_TRIES = 3
"""How often a letter is offered to the broker before it goes to the database. More: letters are
held longer. Fewer: a broker that stumbles once has letters in two places.
"""

_AGAIN_S = 0.5
_CONFIRM_TIMEOUT_S = 5.0
"""How long a letter waits for its confirm: a queue that has lost most of its nodes does not answer.
Longer: letters are held longer. Shorter: a busy broker seems to be like that.
"""

_TOGETHER = 1000
"""Letters of one transaction, at most. Their bytes are bounded too."""


class _Waiting(msgspec.Struct, frozen=True):
    """A letter for the outbox."""

    message: QueuedMessage
    reason: str
    stored: "asyncio.Future[bool]"
    """Becomes whether it is stored."""


class DeadLettering:
    """Makes dead letters durable, at the broker or in the outbox."""

    def __init__(self, url: str, observer: Observer, database: Database | None):
        self._confirms = Confirms(url, "dead letters", observer, nacks_apart=True)
        self._observer, self._database = observer, database
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._writing = asyncio.Lock()

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._confirms.connection.start()

    async def close(self) -> None:
        """Close the connection."""
        await self._confirms.connection.close()

    async def dead_letter(
        self, message: QueuedMessage, reason: str, wanted: Callable[[], bool]
    ) -> bool:
        """Try until a copy of the message is durable, or it is no longer wanted. Return whether
        there is a copy.
        """
        tries = 0
        while wanted():
            if await self._publish(message, reason):
                return True
            tries += 1
            if (
                tries >= _TRIES
                and self._database is not None
                and await self._store_one(self._database, message, reason)
            ):
                return True
            await asyncio.sleep(_AGAIN_S)
        return False

    async def _publish(self, message: QueuedMessage, reason: str) -> bool:
        try:
            async with asyncio.timeout(_CONFIRM_TIMEOUT_S):
                return await self._confirmed(message, reason)
        except TimeoutError:
            # everything that is offered again would pile up on this connection
            self._confirms.give_up("it confirms no dead letter")
            return False

    def _confirmed(self, message: QueuedMessage, reason: str) -> "asyncio.Future[bool]":
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        headers: dict[str, object] = {
            REASON_HEADER: reason[:REASON_LENGTH],
            DEAD_LETTERED_AT_HEADER: now_ms(),
        }
        if message.accepted_at is not None:
            headers[ACCEPTED_AT_HEADER] = message.accepted_at

        def settle(error: str | None) -> None:
            if not done.done():
                done.set_result(error is None)

        self._confirms.publish(
            [PendingPublish(DEAD_EXCHANGE, "", message.body, message.message_id, headers, settle)]
        )
        return done

    async def _store_one(self, database: Database, message: QueuedMessage, reason: str) -> bool:
        """Store a letter in the outbox. There is one transaction at a time, each with all that
        gathered during the previous one: thousands may be refused at once.
        """
        waiting = _Waiting(message, reason, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        async with self._writing:
            while not waiting.stored.done():  # mostly an earlier caller has stored it already
                await self._write(database)
        return waiting.stored.result()

    async def _write(self, database: Database) -> None:
        first = [self._waiting[number] for number in range(min(_TOGETHER, len(self._waiting)))]
        fit = fitting([waiting.message for waiting in first])
        batch = [self._waiting.popleft() for _ in range(fit)]
        failed = set(range(len(batch)))
        try:
            failed = await asyncio.to_thread(self._store, database, batch)
        except StoreUnavailable as error:
            self._observer.log(
                LogEvent.DEAD_LETTER_WRITE_FAILED, letters=len(batch), reason=str(error)
            )
        finally:  # also when this was cancelled: other callers may wait for their letters
            for number, waiting in enumerate(batch):
                waiting.stored.set_result(number not in failed)

    def _store(self, database: Database, batch: list[_Waiting]) -> set[int]:
        """Store a batch, in a thread. Return the positions of those that are not stored."""
        refused = store(database, [row(waiting.message, waiting.reason) for waiting in batch])
        for number, why in refused:
            self._observer.log(
                LogEvent.DEAD_LETTER_WRITE_FAILED,
                letters=1,
                message_id=batch[number].message.message_id,
                reason=why,
            )
        if len(refused) < len(batch):
            self._observer.log(
                LogEvent.DEAD_LETTERS_IN_OUTBOX,
                letters=len(batch) - len(refused),
            )
        return {number for number, _ in refused}
