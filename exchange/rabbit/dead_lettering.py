"""Dead letters on their way to the broker, and past it: what it does not take, its queue being full
or itself blocked, goes into the outbox.

Letters must not stay in hand: a source that holds as many messages as it may gets no more, and
every event waits behind them. Lives on the event loop of `rabbit_source`, with a connection of its
own.
"""

import asyncio
import collections
from collections.abc import Callable

import msgspec

from exchange.port import Message
from exchange.rabbit.confirms import Confirms, PendingPublish
from exchange.rabbit.into_outbox import REASON_LENGTH, fitting, row, store
from exchange.topology import ACCEPTED_AT_HEADER, BURIED_AT_HEADER, DEAD_EXCHANGE, REASON_HEADER
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import now_ms
from store.engine.database import Database

_TRIES = 3
"""How often a letter is offered to the broker before the database gets it. More: letters are longer
in hand. Fewer: a broker that stumbles once has them lie in two places.
"""

_AGAIN_S = 0.5
_CONFIRM_LIMIT_S = 5.0
"""A queue that has lost most of its nodes answers nothing. Shorter: a busy broker is taken for one.
"""

_TOGETHER = 1000
"""Letters of one transaction, at most: beside the bound in bytes."""


class _Waiting(msgspec.Struct, frozen=True):
    """A letter for the outbox. `stored` becomes whether it is there."""

    message: Message
    reason: str
    stored: "asyncio.Future[bool]"


class Burials:
    """Give it a running event loop with `start`."""

    def __init__(self, url: str, observer: Observer, database: Database | None):
        self._confirms = Confirms(url, "dead letters", observer, refusals_apart=True)
        self._observer, self._database = observer, database
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._writing = asyncio.Lock()

    def start(self) -> None:
        self._confirms.link.start()

    async def close(self) -> None:
        await self._confirms.link.close()

    async def bury(self, message: Message, reason: str, wanted: Callable[[], bool]) -> bool:
        """Whether a copy of it is durable: False only when it is wanted no longer."""
        tries = 0
        while wanted():
            if await self._published(message, reason):
                return True
            tries += 1
            if (
                tries >= _TRIES
                and self._database is not None
                and await self._stored(self._database, message, reason)
            ):
                return True
            await asyncio.sleep(_AGAIN_S)
        return False

    async def _published(self, message: Message, reason: str) -> bool:
        try:
            async with asyncio.timeout(_CONFIRM_LIMIT_S):
                return await self._confirmed(message, reason)
        except TimeoutError:
            self._confirms.give_up(
                "it confirms no dead letter"
            )  # else all that is offered again would gather there
            return False

    def _confirmed(self, message: Message, reason: str) -> "asyncio.Future[bool]":
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        headers: dict[str, object] = {
            REASON_HEADER: reason[:REASON_LENGTH],
            BURIED_AT_HEADER: now_ms(),
        }
        if message.accepted_at is not None:
            headers[ACCEPTED_AT_HEADER] = message.accepted_at
        settle = lambda broken: None if done.done() else done.set_result(broken is None)  # noqa: E731
        self._confirms.publish(
            [PendingPublish(DEAD_EXCHANGE, "", message.body, message.message_id, headers, settle)]
        )
        return done

    async def _stored(self, database: Database, message: Message, reason: str) -> bool:
        """One transaction at a time, each with all that gathered during the one before: thousands
        may be refused at once.
        """
        mine = _Waiting(message, reason, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        async with self._writing:
            while not mine.stored.done():  # mostly it is done already, by who waited before
                await self._write(database)
        return mine.stored.result()

    async def _write(self, database: Database) -> None:
        first = [self._waiting[number] for number in range(min(_TOGETHER, len(self._waiting)))]
        batch = [self._waiting.popleft() for _ in range(fitting([one.message for one in first]))]
        failed = set(range(len(batch)))
        try:
            failed = await asyncio.to_thread(self._store, database, batch)
        except StoreUnavailable as error:
            self._observer.log(
                LogEvent.DEAD_LETTER_WRITE_FAILED, letters=len(batch), reason=str(error)
            )
        finally:  # also when this was cancelled: others may wait for theirs
            for number, one in enumerate(batch):
                one.stored.set_result(number not in failed)

    def _store(self, database: Database, batch: list[_Waiting]) -> set[int]:
        """In a thread. The places of those that are not stored."""
        refused = store(database, [row(one.message, one.reason) for one in batch])
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
