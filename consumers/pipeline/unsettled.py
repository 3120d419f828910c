"""What this process has in hand: deliveries that it claimed or took and has not yet found out
about.

Bounded, so that back-pressure reaches the broker; and impatient, so that no message is pinned by a
slow callback: a delivery still in flight after a second becomes a leased row; one that could not
start because of its callback spills, which means that it becomes a due row, and so does every new
one of that callback until those rows are gone (docs/invariants.md#lanes-are-fair).
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from consumers.pipeline.settler import PendingAck, Settler
from consumers.pipeline.spill_tracker import Scan, SpillTracker
from schemas.deliveries.deliveries import Delivery, Settlement, Trigger, given_back, leased
from schemas.ids import CallbackId
from schemas.observer import Observer
from schemas.rate_meter import RateMeter

MAX_UNSETTLED = 1500
"""Places of deliveries in memory, claimed or waiting to be recorded, before intake pauses: one
each, more for a large body. Larger: more memory and more repeated after a crash. Smaller than a
second's throughput of a lane would leave processors idle.
"""

MIN_UNSETTLED = 500
WORTH_S = 0.6
"""Between the two: as many as this process settles in this time, so that none loses patience
because the processor is busy.
"""

MAX_SLOW = 1500
"""Places of attempts in flight longer than the patience. They do not count as in hand, or callbacks
that hang would stop everybody's intake; beyond this number the callbacks that have some get no
more. Larger: more memory for connections that hang.
"""

PATIENCE_S = 1.0
TICK_S = 0.1

AGAIN_S = 1.0
"""When somebody may look again at a delivery whose callback has no room. Shorter: rows go round in
circles. Longer: it starts later.
"""


class DispatcherPort(Protocol):
    """The dispatcher, as far as the consumers know it."""

    @property
    def in_flight(self) -> int: ...
    def submit(self, delivery: Delivery) -> None: ...
    def withdraw(self, delivery: Delivery) -> bool: ...
    def withdraw_firsts(self, callback_id: CallbackId) -> list[Delivery]: ...
    def is_overfull(self, callback_id: CallbackId) -> bool: ...
    def is_throttled(self, callback_id: CallbackId) -> bool: ...
    def has_started(self, delivery: Delivery) -> bool: ...
    def is_stuck(self, delivery: Delivery) -> bool: ...
    def free_slots(self, callback_id: CallbackId, is_retry: bool) -> int: ...
    def conversations(self, callback_id: CallbackId) -> Collection[str]: ...
    def resume(self) -> None: ...
    def stop_starting(self) -> None: ...


class _Holding:
    """One delivery in hand, its message while that is not released, since when, and whether its
    attempt outlasted the patience.
    """

    __slots__ = ("delivery", "is_slow", "pending_ack", "taken_s")

    def __init__(self, delivery: Delivery, pending_ack: PendingAck | None, taken_s: float):
        self.delivery, self.pending_ack, self.taken_s, self.is_slow = (
            delivery,
            pending_ack,
            taken_s,
            False,
        )


class Unsettled:
    """Between intake and dispatcher on one side and the settler on the other; all on the event
    loop's thread.
    """

    def __init__(
        self,
        settler: Settler,
        observer: Observer,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._settler, self._observer, self._lease_s, self._clock = (
            settler,
            observer,
            lease_s,
            clock,
        )
        self._dispatcher: DispatcherPort | None = None
        self._held: dict[Delivery, _Holding] = {}
        self._young: deque[_Holding] = deque()
        self._places = 0
        self._slow: Counter[CallbackId] = Counter()
        self._slow_places = 0
        self._pace = RateMeter()
        self._most = MIN_UNSETTLED
        self._spilled = SpillTracker()
        self._roomy = asyncio.Event()
        self.on_spilled: Callable[[], None] = lambda: None
        """Called while there are spilled rows, after each settlement: some may have come, or there
        may be room for some.
        """
        settler.on_settled = self._settled

    def connect(self, dispatcher: DispatcherPort) -> None:
        """The dispatcher and the hand know each other: it gives its settlements to `put_down`."""
        self._dispatcher = dispatcher

    @property
    def dispatcher(self) -> DispatcherPort:
        assert self._dispatcher is not None, "Unsettled.connect was not called"
        return self._dispatcher

    def pick_up(
        self, deliveries: Iterable[Delivery], pending_ack: PendingAck | None = None
    ) -> None:
        """Take responsibility for deliveries, of one message or of rows under lease, and hand them
        to the dispatcher. What is new and would overtake others, or wait in vain, spills.
        """
        now_s = self._clock()
        for delivery in deliveries:
            holding = _Holding(delivery, pending_ack, now_s)
            if pending_ack is not None and self._must_spill(delivery.callback_id):
                self._spill(holding)
                continue
            self._held[delivery] = holding
            self._places += delivery.places
            self._young.append(holding)
            self.dispatcher.submit(delivery)
        self._notice_room()

    def put_down(self, settlement: Settlement) -> None:
        """The dispatcher found out what becomes of a delivery."""
        delivery = settlement.delivery
        holding = self._held.pop(delivery)
        self._places -= delivery.places
        if holding.is_slow:
            self._count_slow(delivery, -1)
        self._pace.step(self._clock(), delivery.places)
        self._settler.add(settlement, holding.pending_ack)
        if settlement.throttled:
            self._keep_order(settlement.delivery)

    def put_off(self, callback_ids: Iterable[CallbackId]) -> None:
        """New deliveries of these callbacks were claimed as rows."""
        for callback_id in callback_ids:
            self._spilled.add(callback_id, self._settler.enqueued)
            self._observer.deferred("spilled")
        self.on_spilled()

    def look(self) -> Scan:
        """Whoever looks for due rows begins here and ends with `saw`."""
        return self._spilled.look(self._settler.enqueued - self._settler.backlog)

    def saw(self, look: Scan, waiting: Collection[CallbackId]) -> None:
        """These callbacks, which may be called, have rows that wait for their first attempt. Intake
        begins with the first look.
        """
        self._spilled.saw(look, waiting)
        self._notice_room()

    def free_slots(self, callback_id: CallbackId, is_retry: bool) -> int:
        """How many due rows of a share are worth taking."""
        return 0 if self._hangs(callback_id) else self.dispatcher.free_slots(callback_id, is_retry)

    async def room(self) -> None:
        """Wait until more deliveries may be taken."""
        await self._roomy.wait()

    @property
    def is_roomy(self) -> bool:
        return self._spilled.is_known and self.places > 0

    @property
    def places(self) -> int:
        """How many more deliveries there is room for, of the smaller. May be asked from any thread.
        """
        return self._most - (self._places - self._slow_places) - self._settler.places

    def tick(self) -> None:
        """Lose patience with what is too old. Called every `TICK_S`."""
        now_s = self._clock()
        self._most = max(
            MIN_UNSETTLED, min(MAX_UNSETTLED, int(WORTH_S * self._pace.per_second(now_s)))
        )
        still_young: list[_Holding] = []
        while self._young and now_s - self._young[0].taken_s >= PATIENCE_S:
            holding = self._young.popleft()
            if holding.delivery in self._held and not self._let_go(holding, now_s):
                still_young.append(holding)
        self._young.extendleft(reversed(still_young))
        self._notice_room()
        self.dispatcher.resume()

    @property
    def holds_messages(self) -> bool:
        """Whether a message is still pinned by a delivery that is in hand."""
        return any(holding.pending_ack for holding in self._held.values())

    def give_back_unstarted(self) -> None:
        """For a drain: whoever is free may take what has not started here."""
        for delivery in list(self._held):
            if self.dispatcher.withdraw(delivery):
                self.put_down(given_back(delivery))

    def _let_go(self, holding: _Holding, now_s: float) -> bool:
        """False when the delivery simply has to wait longer: it has not started, and its callback
        is not to blame.
        """
        delivery = holding.delivery
        if self.dispatcher.has_started(delivery):
            self._outlast(holding, now_s)
            return True
        stuck = self.dispatcher.is_stuck(delivery)
        if now_s < delivery.start_by_s and not stuck:
            return False
        if delivery.trigger is Trigger.FIRST:
            self._spill_line(delivery.callback_id)
        else:
            self.dispatcher.withdraw(delivery)
            self.put_down(given_back(delivery, due_in_s=AGAIN_S if stuck else 0.0))
        return True

    def _outlast(self, holding: _Holding, now_s: float) -> None:
        """Its attempt goes on, under a lease; it no longer pins its message."""
        delivery = holding.delivery
        holding.is_slow = True
        self._count_slow(delivery, 1)
        if holding.pending_ack is not None:
            self._settler.add(
                leased(delivery, self._lease_s - (now_s - holding.taken_s)), holding.pending_ack
            )
            holding.pending_ack = None

    def _spill_line(self, callback_id: CallbackId) -> None:
        """All that waits for its first attempt at this callback: the younger would overtake the
        older otherwise.
        """
        for delivery in self.dispatcher.withdraw_firsts(callback_id):
            self._places -= delivery.places
            self._spill(self._held.pop(delivery))

    def _keep_order(self, throttled: Delivery) -> None:
        """Its callback is left alone for a while: what was behind it would overtake it otherwise,
        and pin messages.
        """
        self._spill_line(throttled.callback_id)
        if throttled.trigger is Trigger.FIRST:
            self._spilled.add(throttled.callback_id, self._settler.enqueued)

    def _spill(self, holding: _Holding) -> None:
        delivery = holding.delivery
        if delivery.lease == 0:
            self._observer.deferred(
                "throttled" if self.dispatcher.is_throttled(delivery.callback_id) else "spilled"
            )
        self._settler.add(given_back(delivery), holding.pending_ack)
        self._spilled.add(delivery.callback_id, self._settler.enqueued)

    def _must_spill(self, callback_id: CallbackId) -> bool:
        return (
            callback_id in self._spilled
            or self.dispatcher.is_overfull(callback_id)
            or self._hangs(callback_id)
        )

    def _hangs(self, callback_id: CallbackId) -> bool:
        """Whether it has attempts that outlast the patience while there are too many of those."""
        return self._slow_places >= MAX_SLOW and callback_id in self._slow

    def _count_slow(self, delivery: Delivery, change: int) -> None:
        callback_id = delivery.callback_id
        self._slow_places += change * delivery.places
        self._slow[callback_id] += change
        if not self._slow[callback_id]:
            del self._slow[callback_id]

    def _settled(self) -> None:
        self._notice_room()
        if self._spilled:
            self.on_spilled()

    def _notice_room(self) -> None:
        if self.is_roomy:
            self._roomy.set()
        else:
            self._roomy.clear()
