"""Operational events: taken from the store, sent by whoever is given for it, put off or forgotten;
and the ends of tokens watched.

One loop in every dispatcher; leases keep two from sending one alert. Nothing that goes wrong here
touches a delivery.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from schemas.alerts import Alert, AlertOutcome
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.tokens import alerts
from store.tokens.expiry_alerts import alert_expiring

POLL_S = 1.0
"""How late an alert may be sent. Shorter: more queries that find nothing."""

BATCH = 8
"""Sent at once. More: a burst is told sooner, and costs the operator's receiver more connections at
a time.
"""

LOOK_AT_TOKENS_EVERY_S = 60.0
"""How late the end of a token may be told. Shorter: all tokens are read more often."""

ERROR_PAUSE_S = 60.0
"""Until the loop tries again what a mistake of ours ended. Shorter: the same mistake more often in
the log.
"""

_T = TypeVar("_T")


class AlertSending(Protocol):
    """One attempt; `dispatcher.alert_sender` for real."""

    async def send(self, alert: Alert) -> AlertOutcome: ...


class AlertRelay:
    """Build and `start` it on a running event loop, `stop` it at the end. Without `sending` alerts
    are only logged: nobody asked for them.
    """

    def __init__(
        self,
        database: Database,
        sending: AlertSending | None,
        observer: Observer,
        lease_s: float,
        poll_s: float = POLL_S,
    ):
        self._database, self._sending, self._observer, self._poll_s = (
            database,
            sending,
            observer,
            poll_s,
        )
        self._lease_ms = int(lease_s * 1000)
        self._thread = ThreadPoolExecutor(1, "alerts")
        self._stopping = asyncio.Event()
        self._looked_at_s = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="alerts")

    async def stop(self, limit_s: float) -> None:
        """Take no more and let what is in flight end. What has not ended within the limit is sent
        again when its lease ends.
        """
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=limit_s)
            self._task.cancel()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._nap(await self._go_round_safely())

    async def _nap(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    async def _go_round_safely(self) -> float:
        """How many seconds to pause before the next."""
        try:
            return 0.0 if await self._go_round() else self._poll_s
        except StoreUnavailable:
            return self._poll_s  # as the process's other loops have said
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end a dispatcher that delivers
            self._observer.log(LogEvent.INTERNAL_ERROR, loop="alerts", error=repr(error))
            return ERROR_PAUSE_S

    async def _go_round(self) -> bool:
        """Whether there may be more to send at once."""
        taken = await self._stored(
            lambda connection, now: alerts.take(connection, BATCH, now, self._lease_ms)
        )
        for failure in await asyncio.gather(
            *(self._told(alert) for alert in taken), return_exceptions=True
        ):
            if failure is not None:
                raise failure
        await self._look_at_tokens()
        return len(taken) == BATCH

    async def _look_at_tokens(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_at_s >= LOOK_AT_TOKENS_EVERY_S:
            await self._stored(alert_expiring)
            self._looked_at_s = now_s

    async def _told(self, alert: Alert) -> None:
        if self._sending is None:
            self._observer.log(LogEvent.ALERT, **alert.summary())
            outcome = AlertOutcome()
        else:
            outcome = await self._sending.send(alert)
            event = LogEvent.ALERT_DELIVERED if outcome.error is None else LogEvent.ALERT_FAILED
            self._observer.log(
                event, **alert.summary(), error=outcome.error, next_attempt_in_s=outcome.retry_in_s
            )
        await self._stored(lambda connection, now: _settle(connection, alert, outcome, now))

    async def _stored(self, work: Callable[[Connection, UnixMs], _T]) -> _T:
        """In a transaction of its own, in our thread."""

        def transact() -> _T:
            with self._database.write() as connection:
                return work(connection, self._database.now(connection))

        return await asyncio.get_running_loop().run_in_executor(self._thread, transact)


def _settle(connection: Connection, alert: Alert, outcome: AlertOutcome, now: UnixMs) -> None:
    if outcome.retry_in_s is None:
        alerts.forget(connection, alert.id)
    else:
        alerts.put_off(connection, alert, UnixMs(now + int(outcome.retry_in_s * 1000)))
