"""The alert relay: sends operational events that wait in the store, and writes those of tokens that
are about to expire.

A job in every dispatcher process; leases keep two processes from sending one alert. An error here
affects no delivery.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from consumers.loop import Loop, OnBug
from schemas.alerts import Alert, AlertOutcome
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.tokens import alerts
from store.tokens.expiry_alerts import alert_expiring

POLL_S = 1.0
"""How late an alert may be sent. Shorter: more queries that find nothing."""

BATCH = 8
"""Alerts sent at once. More: a burst is sent sooner, and opens more connections to the operator's
receiver at a time.
"""

CHECK_TOKENS_EVERY_S = 60.0
"""How late the alert of an expiring token may be. Shorter: all tokens are read more often."""

_T = TypeVar("_T")


class AlertSending(Protocol):
    """What sends alerts: `dispatcher.alert_sender`."""

    async def send(self, alert: Alert) -> AlertOutcome:
        """Make one attempt. Failures are part of the outcome, not raised."""


class AlertRelay(Loop):
    """Leases alerts, sends and settles them. Without `sending`, alerts are only logged: no address
    is configured for them.
    """

    name = "alert_relay"
    on_bug = OnBug.LOG_AND_RETRY
    """Alerts can wait: a dispatcher that ended would deliver nothing because of one of them."""

    def __init__(
        self,
        database: Database,
        sending: AlertSending | None,
        *,
        observer: Observer,
        lease_s: float,
        poll_s: float = POLL_S,
    ):
        super().__init__(observer, poll_s)
        self._database, self._sending = database, sending
        self._lease_ms = int(lease_s * 1000)
        self._tokens_checked_s = float("-inf")

    async def step(self) -> float:
        """Send one batch. An alert whose attempt is cut off by `stop` is sent again when its lease
        ends.
        """
        leased = await self._stored(
            lambda connection, now: alerts.lease(connection, BATCH, now, self._lease_ms)
        )
        for failure in await asyncio.gather(
            *(self._relay(alert) for alert in leased), return_exceptions=True
        ):
            if failure is not None:
                raise failure
        await self._check_tokens()
        return 0.0 if len(leased) == BATCH else self._poll_s

    async def _check_tokens(self) -> None:
        now_s = time.monotonic()
        if now_s - self._tokens_checked_s >= CHECK_TOKENS_EVERY_S:
            await self._stored(alert_expiring)
            self._tokens_checked_s = now_s

    async def _relay(self, alert: Alert) -> None:
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
        """Run `work` in a transaction of its own, in the job's thread."""

        def transact() -> _T:
            with self._database.write() as connection:
                return work(connection, self._database.now(connection))

        return await self.in_thread(transact)


def _settle(connection: Connection, alert: Alert, outcome: AlertOutcome, now: UnixMs) -> None:
    if outcome.retry_in_s is None:
        alerts.forget(connection, alert.id)
    else:
        alerts.put_off(connection, alert, UnixMs(now + int(outcome.retry_in_s * 1000)))
