"""Whether the broker keeps what it confirms, as its policies are now: checked again and again, in a
thread.

Asked by `publisher` before each publish. While the broker loses events they go to the outbox, or
are refused, and readiness says why.
"""

import time
from collections.abc import Callable, Iterable

from exchange.rabbit.policies import TTL, harms
from schemas.errors import ExchangeUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from store.engine.background import PeriodicThread

_EVERY_S = 60.0
"""How often policies are checked. Longer: one that is set, or removed, is noticed later. Shorter:
more queues are created and deleted only for checks.
"""

_REMEMBERED_S = 600.0
"""How long an event that expired counts as a sign of a policy: longer than canaries can wait."""


class BrokerWatch:
    """Knows why the broker must not be used, if so. Thread-safe."""

    def __init__(
        self,
        url: str,
        observer: Observer,
        find_harms: Callable[[str], Iterable[str]] = harms,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._url, self._observer = url, observer
        self._find_harms, self._clock = find_harms, clock
        self._harms: tuple[str, ...] = ()
        self._expired_s = float("-inf")
        self._thread = PeriodicThread(
            "broker-watch",
            self.check,
            every_s=_EVERY_S,
            observer=observer,
            close_timeout_s=0.0,
        )

    def start(self) -> None:
        """Start to check the policies, now and then every minute."""
        self._thread.wake()
        self._thread.start()

    def close(self) -> None:
        """Stop. A check under way ends with the process."""
        self._thread.close()

    @property
    def harm(self) -> str | None:
        """Why events must not go through the broker; None: they may."""
        if self._harms:
            return "; ".join(self._harms)
        return TTL if self._clock() - self._expired_s < _REMEMBERED_S else None

    def gave_up(self, reason: str) -> None:
        """Record why the broker gave up an event that had no limit of its own, in the broker's
        words.
        """
        if reason == "expired":
            self._expired_s = self._clock()

    def check(self) -> None:
        """Check the policies. What was known before counts until the check has ended, and while no
        broker answers.
        """
        known, found = self._harms, []
        try:
            for harm in self._find_harms(self._url):
                found.append(harm)
                self._harms = tuple(dict.fromkeys((*known, *found)))
        except ExchangeUnavailable:  # the connections log that
            return
        self._harms = tuple(found)
        if self._harms != known:
            self._observer.log(LogEvent.BROKER_POLICIES, harm=self.harm or "none")
