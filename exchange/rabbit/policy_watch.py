"""Whether the broker keeps what it confirms, as its policies are now: looked at again and again, in
a thread.

Asked by `rabbit_publisher` before each publish: while the broker loses events they go to the
outbox, or are refused. Readiness tells why.
"""

import threading
import time
from collections.abc import Callable, Iterable

from exchange.rabbit.policies import TTL, harms
from schemas.errors import ExchangeUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer

_EVERY_S = 60.0
"""Longer: a policy that is set, or taken away, is noticed later. Shorter: more queues are made and
deleted just for looking.
"""

_REMEMBERED_S = 600.0
"""How long an event that expired speaks of a policy: longer than canaries can wait."""


class BrokerWatch:
    """Thread-safe. `start` returns at once."""

    def __init__(
        self,
        url: str,
        observer: Observer,
        look: Callable[[str], Iterable[str]] = harms,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._url, self._observer, self._look, self._clock = url, observer, look, clock
        self._found: tuple[str, ...] = ()
        self._expired_s = float("-inf")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringback-broker-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """A look under way ends with the process."""
        self._stopped.set()

    @property
    def harm(self) -> str | None:
        """Why events must not go by the broker; None: they may."""
        if self._found:
            return "; ".join(self._found)
        return TTL if self._clock() - self._expired_s < _REMEMBERED_S else None

    def gave_up(self, reason: str) -> None:
        """The broker gave up an event that had no limit of its own, for a reason in its own words.
        """
        if reason == "expired":
            self._expired_s = self._clock()

    def look(self) -> None:
        """What was known before holds until all is looked at, and while nobody answers."""
        known, found = self._found, []
        try:
            for one in self._look(self._url):
                found.append(one)
                self._found = tuple(dict.fromkeys((*known, *found)))
        except ExchangeUnavailable:  # the connections tell that
            return
        self._found = tuple(found)
        if self._found != known:
            self._observer.log(LogEvent.BROKER_POLICIES, harm=self.harm or "none")

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(_EVERY_S)
