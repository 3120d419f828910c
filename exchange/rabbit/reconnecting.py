"""A connection to RabbitMQ that heals, with jittered backoff, over several addresses.

Its user decides what happens on its channel: `confirms` publishes, `source` consumes. A connection
does one or the other, as RabbitMQ stops reading from one that publishes too much, acknowledgements
included.
"""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Callable

from exchange.rabbit.channel import AmqpChannel
from exchange.rabbit.connection import (
    OPEN_TIMEOUT_S,
    GivenUp,
    OneWrite,
    Parameters,
    addresses,
    declared_channel,
    open_connection,
)
from exchange.rabbit.reasons import reason as reason_of
from schemas.log_events import LogEvent
from schemas.observer import Observer

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0


class ReconnectingConnection:
    """One connection with one channel, opened again and again until closed. Belongs to the event
    loop's thread.

    `opened(channel)` is called with each new channel, `lost(reason)` when that channel is gone.
    """

    def __init__(
        self,
        url: str,
        part: str,
        *,
        observer: Observer,
        opened: Callable[[AmqpChannel], None],
        lost: Callable[[str], None],
    ):
        """`part`: what the log and the broker call this connection."""
        self._addresses = addresses(url, part)
        self._part, self._observer = part, observer
        self._opened, self._lost = opened, lost
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._failures = 0
        self._since_s = math.inf
        self._redeclare = False
        self.channel: AmqpChannel | None = None
        """The open channel, if any."""
        self.generation = 0
        """Counts channels from 1. What belongs to an older one (confirms, acknowledgements) means
        nothing any more.
        """

    def start(self) -> None:
        """Begin, on the running event loop. Returns at once, whether or not a broker answers."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def drop(self, reason: str, *, redeclare: bool = False) -> None:
        """Abort this connection, and open another. With `redeclare`, it declares the whole topology
        even if none of it seems missing.
        """
        self._redeclare = redeclare
        self._end(GivenUp(reason))

    def renew(self) -> None:
        """Close the channel, which gives back what it holds, and open another on the same
        connection.
        """
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def close(self) -> None:
        """Close the connection for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        for parameters in itertools.cycle(self._addresses):
            try:
                async with open_connection(parameters) as connection:
                    await self._use(connection)
            # of any kind: without this task it never heals (docs/invariants.md#connections-heal)
            except Exception as error:  # noqa: BLE001 - see above
                self._failures = 1 if self._lasted() else self._failures + 1
                pause_s = pause_after(self._failures - len(self._addresses), _random.random())
                self._log(
                    LogEvent.BROKER_DISCONNECTED,
                    parameters,
                    reason=reason_of(error),
                    pause_s=round(pause_s, 3),
                )
                await asyncio.sleep(pause_s)

    async def _use(self, connection: OneWrite) -> None:
        """Open one channel after another, until the connection is lost."""
        connection.add_on_connection_blocked_callback(
            lambda _connection, _frame: self.drop("blocked: short of memory or disk")
        )
        while True:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                channel = await declared_channel(connection, redeclare=self._redeclare)
            self._redeclare = False
            self._log(LogEvent.BROKER_CONNECTED, connection.params)
            await self._until_ended(channel)
            channel.close()

    async def _until_ended(self, channel: AmqpChannel) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        channel.add_on_close_callback(lambda _channel, why: self._end(why))
        channel.add_on_cancel_callback(lambda _frame: self.drop("the queue is gone"))
        self.channel, self._since_s = channel, time.monotonic()
        self.generation += 1
        reason = "closed"
        try:
            self._opened(channel)
            await self._ended
        except Exception as error:
            reason = reason_of(error)
            raise
        finally:
            self.channel = None
            self._lost(reason)

    def _lasted(self) -> bool:
        """Return whether the connection that ended had lasted. One that opens and breaks at once is
        a failure like one that does not open.
        """
        since_s, self._since_s = self._since_s, math.inf
        return time.monotonic() - since_s > _LONGEST_PAUSE_S

    def _end(self, why: Exception) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(why)

    def _log(self, event: LogEvent, parameters: Parameters, **fields: object) -> None:
        self._observer.log(
            event, part=self._part, address=f"{parameters.host}:{parameters.port}", **fields
        )


def pause_after(rounds: int, chance: float) -> float:
    """Return the seconds to wait after so many failed rounds over all addresses. At zero or less,
    other addresses are still to be tried.

    Doubles from a quarter of a second to five, and of that half to all by `chance` (0 to 1):
    without jitter a hundred processes would connect to a restarted broker in step.
    """
    if rounds < 0:
        return 0.0
    longest: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(rounds, 10))
    return longest * (1 + chance) / 2


_random = random.SystemRandom()
