"""The transactions of the due poller: find what is due, lease it, cancel and give up what will
never be sent.

Runs in the poller's thread. Which callbacks may be called, and how many rows a lane has room for,
the poller has decided before.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from consumers.pipeline.matching import MatchingDirectory
from schemas.deliveries.deliveries import Delivery, DeliveryState
from schemas.errors import StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.observer import Observer
from schemas.times import UnixMs
from store.deliveries import due, withdrawal
from store.deliveries.due import LeaseRequest, Share
from store.deliveries.requested_attempts import any_requested_due, lease_requested
from store.deliveries.status_gate import admit
from store.engine.database import Connection, Database
from store.tokens import callback_throttling

START_WITHIN_S = 5.0
"""How long after its lease began an attempt may still start, so that it ends within the lease and
leaves time to write its outcome.
"""

LEASE_WITHIN_S = 1.0
"""How long one transaction goes on to further shares. With many callbacks, or a slow store, the
next transaction continues. Longer: what was leased first cannot start in time, and a process that
stops waits for it. Shorter: more transactions for the same rows.
"""

_REQUESTED_LIMIT = 20


class DueScan(NamedTuple):
    """What is due."""

    shares: Sequence[Share]
    """Shares with at least one row that is due."""
    requested: bool
    """Whether requested attempts are due."""
    now: UnixMs
    """When that was, by the store's clock."""


class LeasePlan(msgspec.Struct, frozen=True):
    """What one transaction leases and cancels."""

    requests: Mapping[Share, LeaseRequest]
    """What may be leased of each share."""
    ended: Sequence[CallbackId]
    """Callbacks whose rows will never be sent, as far as this process knows."""
    requested: bool
    """Whether requested attempts are leased."""
    capacity: int
    """The weight of the deliveries that may be leased of the shares, in sum."""

    @property
    def parts(self) -> "list[LeasePlan]":
        """The parts of this plan, each about one share or one callback."""
        nothing = LeasePlan({}, (), requested=False, capacity=self.capacity)
        replace = msgspec.structs.replace
        return [
            *(
                replace(nothing, requests={share: request})
                for share, request in self.requests.items()
            ),
            *(replace(nothing, ended=(callback_id,)) for callback_id in dict.fromkeys(self.ended)),
            *([replace(nothing, requested=True)] if self.requested else []),
        ]


class Leased(NamedTuple):
    """What one transaction did."""

    deliveries: Sequence[Delivery]
    """Deliveries that this process has leased."""
    poisoned: Mapping[CallbackId, Sequence[str]]
    """Events by callback whose deliveries are to be given up."""
    cancelled: int
    """How many deliveries were cancelled."""


class DueLeasing:
    """Each method is one transaction or a few. All raise StoreUnavailable."""

    def __init__(
        self, database: Database, directory: MatchingDirectory, observer: Observer, lease_s: float
    ):
        self._database, self._directory, self._observer = database, directory, observer
        self._lease_ms = int(lease_s * 1000)

    def scan(self) -> DueScan:
        """Find what is due."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            shares = due.shares_with_due(connection, now)
            return DueScan(shares, any_requested_due(connection, now), now)

    def lease(self, plan: LeasePlan, lapsed: bool) -> Leased:
        """Do what is planned. With `lapsed` false, rows whose lease ran out are left alone."""
        # before the store's clock is read: the time between only makes it earlier
        start_by_s = time.monotonic() + START_WITHIN_S
        with self._database.write() as connection:
            now = self._database.now(connection)
            until_s = time.monotonic() + LEASE_WITHIN_S
            requested = (
                lease_requested(connection, _REQUESTED_LIMIT, now, self._lease_ms, lapsed=lapsed)
                if plan.requested
                else []
            )
            rows = due.lease(
                connection,
                self._without_throttled(connection, plan.requests, now),
                now,
                self._lease_ms,
                lapsed=lapsed,
                most=plan.capacity,
                until_s=until_s,
            )
            admitted = admit(connection, [*requested, *rows.deliveries], now, self._lease_ms)
            cancelled = self._cancel(connection, plan.ended, now, until_s)
        self._know_callbacks(requested)
        if admitted.overtaken:
            self._observer.settled(
                EventType.MESSAGE_STATUS, DeliveryState.SUPERSEDED, admitted.overtaken
            )
        deliveries = [
            msgspec.structs.replace(delivery, start_by_s=start_by_s) for delivery in admitted.go
        ]
        return Leased(deliveries, rows.poisoned, cancelled)

    def give_up(self, poisoned: Mapping[CallbackId, Sequence[str]]) -> None:
        """Give up deliveries that bring down the process that works on them."""
        for callback_id, event_ids in poisoned.items():
            with self._database.write() as connection:
                given_up = due.give_up(
                    connection, callback_id, event_ids, self._database.now(connection)
                )
            for event_type, count in given_up.items():
                self._observer.settled(event_type, DeliveryState.EXHAUSTED, count)

    def _know_callbacks(self, requested: Sequence[Delivery]) -> None:
        """Refresh the directory for callbacks that it does not know: one may be tested the moment
        it is created.
        """
        if any(self._directory.callback(delivery.callback_id) is None for delivery in requested):
            with contextlib.suppress(StoreUnavailable):
                self._directory.refresh()

    def _cancel(
        self, connection: Connection, ended: Sequence[CallbackId], now: UnixMs, until_s: float
    ) -> int:
        """Cancel a slice for each callback while there is time. This comes after what is sent,
        which has to start soon.
        """
        cancelled = 0
        for callback_id in dict.fromkeys(ended):
            cancelled += withdrawal.cancel(connection, callback_id, now)
            if time.monotonic() >= until_s:
                break
        return cancelled

    def _without_throttled(
        self, connection: Connection, requests: Mapping[Share, LeaseRequest], now: UnixMs
    ) -> dict[Share, LeaseRequest]:
        """Leave out callbacks whose receiver asked another dispatcher for a pause that the
        directory does not know yet. What was refused is due again at once, and would be sent into
        that pause.
        """
        throttled_until = callback_throttling.throttled_until_by_callback(
            connection, {share.callback_id for share in requests}, now
        )
        return {
            share: request
            for share, request in requests.items()
            if throttled_until.get(share.callback_id, 0) <= self._known_pause(share.callback_id)
        }

    def _known_pause(self, callback_id: CallbackId) -> int:
        """Return until when a callback is left alone, as far as the directory knows."""
        known = self._directory.callback(callback_id)
        return (known and known[1].health.throttled_until) or 0
