"""What this process has in hand: deliveries that it claimed or took and has not yet found out about.

Bounded, so that back-pressure reaches the broker; and impatient, so that no message is pinned by a slow callback: a delivery
still in flight after a second becomes a leased row, one that could not start because of its callback a due row.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from consumers.parcel import Parcel
from consumers.settling import Settler
from schemas.deliveries import Delivery, Settlement, given_back, leased
from schemas.ids import CallbackId
from schemas.reports import Observer

MAX_IN_HAND = 1500
"""Deliveries in memory, claimed or waiting to be recorded, before intake pauses. Larger: more memory and more repeated after a
crash. Smaller than a second's throughput of a lane would leave processors idle."""

PATIENCE_S = 1.0
TICK_S = 0.1

AGAIN_S = 1.0
"""When somebody may look again at a delivery whose callback has no room. Shorter: rows go round in circles. Longer: it starts later."""


class Dispatching(Protocol):
    """The dispatcher, as far as the consumers know it."""

    @property
    def in_flight(self) -> int: ...
    def submit(self, delivery: Delivery) -> None: ...
    def withdraw(self, delivery: Delivery) -> bool: ...
    def has_started(self, delivery: Delivery) -> bool: ...
    def is_stuck(self, delivery: Delivery, patience_s: float) -> bool: ...
    def free_slots(self, callback_id: CallbackId, tried: bool) -> int: ...
    def conversations(self, callback_id: CallbackId) -> Collection[str]: ...
    def resume(self) -> None: ...
    def stop_starting(self) -> None: ...


class _Holding:
    """One delivery in hand, its message while that is not released, and since when."""

    __slots__ = ("delivery", "parcel", "taken_s")

    def __init__(self, delivery: Delivery, parcel: Parcel | None, taken_s: float):
        self.delivery, self.parcel, self.taken_s = delivery, parcel, taken_s


class Hand:
    """Between intake and dispatcher on one side and the settler on the other; all on the event loop's thread."""

    def __init__(self, settler: Settler, observer: Observer, lease_s: float, clock: Callable[[], float] = time.monotonic):
        self._settler, self._observer, self._lease_s, self._clock = settler, observer, lease_s, clock
        self._dispatcher: Dispatching | None = None
        self._held: dict[Delivery, _Holding] = {}
        self._young: deque[_Holding] = deque()
        self._roomy = asyncio.Event()
        self._roomy.set()
        settler.on_settled = self._notice_room

    def connect(self, dispatcher: Dispatching) -> None:
        """The dispatcher and the hand know each other: it gives its settlements to `put_down`."""
        self._dispatcher = dispatcher

    @property
    def dispatcher(self) -> Dispatching:
        assert self._dispatcher is not None, "Hand.connect was not called"
        return self._dispatcher

    def pick_up(self, deliveries: Iterable[Delivery], parcel: Parcel | None = None) -> None:
        """Take responsibility for deliveries, of one message or of rows under lease, and hand them to the dispatcher."""
        now_s = self._clock()
        for delivery in deliveries:
            holding = _Holding(delivery, parcel, now_s)
            self._held[delivery] = holding
            self._young.append(holding)
            self.dispatcher.submit(delivery)
        self._notice_room()

    def put_down(self, settlement: Settlement) -> None:
        """The dispatcher found out what becomes of a delivery."""
        holding = self._held.pop(settlement.delivery)
        self._settler.add(settlement, holding.parcel)

    async def room(self) -> None:
        """Wait until more deliveries may be taken."""
        await self._roomy.wait()

    @property
    def is_roomy(self) -> bool:
        return self.places > 0

    @property
    def places(self) -> int:
        """How many more deliveries there is room for."""
        return MAX_IN_HAND - len(self._held) - self._settler.backlog

    def tick(self) -> None:
        """Lose patience with what is too old. Called every `TICK_S`."""
        now_s = self._clock()
        still_young: list[_Holding] = []
        while self._young and now_s - self._young[0].taken_s >= PATIENCE_S:
            holding = self._young.popleft()
            if holding.delivery in self._held and not self._let_go(holding, now_s):
                still_young.append(holding)
        self._young.extendleft(reversed(still_young))
        self.dispatcher.resume()

    @property
    def holds_messages(self) -> bool:
        """Whether a message is still pinned by a delivery that is in hand."""
        return any(holding.parcel for holding in self._held.values())

    def give_back_unstarted(self) -> None:
        """For a drain: whoever is free may take what has not started here."""
        for delivery in list(self._held):
            if self.dispatcher.withdraw(delivery):
                self.put_down(given_back(delivery))

    def _let_go(self, holding: _Holding, now_s: float) -> bool:
        """False when the delivery simply has to wait longer: it has not started, and its callback is not to blame."""
        delivery = holding.delivery
        if self.dispatcher.has_started(delivery):
            if holding.parcel is not None:
                self._settler.add(leased(delivery, self._lease_s - (now_s - holding.taken_s)), holding.parcel)
                holding.parcel = None
            return True
        stuck = self.dispatcher.is_stuck(delivery, PATIENCE_S)
        if now_s < delivery.start_by_s and not stuck:
            return False
        if delivery.lease == 0 and not delivery.asked_for:
            self._observer.deferred("spilled")
        self.dispatcher.withdraw(delivery)
        self.put_down(given_back(delivery, due_in_s=AGAIN_S if stuck else 0.0))
        return True

    def _notice_room(self) -> None:
        if self.is_roomy:
            self._roomy.set()
        else:
            self._roomy.clear()
