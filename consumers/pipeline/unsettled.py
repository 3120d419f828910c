"""The unsettled deliveries: those that this process claimed or leased, and whose outcome is open.

They are bounded, so that back-pressure reaches the broker. No message is held by a slow callback: a
delivery still in flight after PERSIST_AFTER_S becomes a leased row. A delivery that could not start
because of its callback spills, which means that it becomes a due row. So does every new one of that
callback until those rows are gone (docs/invariants.md#lanes-are-fair).
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable

from consumers.pipeline.dispatcher_port import DispatcherPort
from consumers.pipeline.settler import PendingAck, Settler
from consumers.pipeline.spill_tracker import SpillScan, SpillTracker
from schemas.deliveries.deliveries import Delivery, Trigger
from schemas.deliveries.settlement import Settlement, given_back, leased
from schemas.ids import CallbackId
from schemas.observer import Observer
from schemas.rate_meter import RateMeter

MAX_UNSETTLED = 1500
"""The weight of deliveries in memory, unsettled or waiting to be recorded, at which intake pauses:
one each, more for a large body. Larger: more memory, and more repeated after a crash. Smaller than
a second's throughput of a lane: processors are idle.
"""

MIN_UNSETTLED = 500
"""The least weight at which intake pauses. Larger: more repeated after a crash of a process that
does little. Smaller: bursts are taken in slowly.
"""

WINDOW_S = 0.6
"""Between the two, intake pauses at what this process settles in this time, so that no delivery
outlasts PERSIST_AFTER_S because the processor is busy. Larger: more rows are written under load.
Smaller: processors are idle.
"""

MAX_SLOW = 1500
"""The weight of slow attempts, in flight for longer than PERSIST_AFTER_S. They do not count as
unsettled, or callbacks that hang would stop everyone's intake. Beyond this number the callbacks
that have some get no more. Larger: more memory for connections that hang.
"""

PERSIST_AFTER_S = 1.0
"""How long a delivery may hold its message. Longer: a slow callback delays more messages. Shorter:
more rows are written for attempts that are about to end.
"""

TICK_S = 0.1
"""How often `tick` is called. Longer: messages are held longer. Shorter: more work while idle."""

AGAIN_S = 1.0
"""When a delivery whose callback has no room may be leased again. Shorter: rows are leased and
given back again and again. Longer: it starts later.
"""


class _Holding:
    """An unsettled delivery: its message while that is not released, since when it is here, and
    whether its attempt is slow.
    """

    __slots__ = ("delivery", "is_slow", "pending_ack", "since_s")

    def __init__(self, delivery: Delivery, pending_ack: PendingAck | None, since_s: float):
        self.delivery, self.pending_ack, self.since_s = delivery, pending_ack, since_s
        self.is_slow = False


class Unsettled:
    """Stands between intake and dispatcher on one side and the settler on the other.

    It is built before the dispatcher, which reports to `settle`. So the worker calls `connect`
    before the first `add`. Belongs to the event loop's thread, except `capacity_left`.
    """

    def __init__(
        self,
        settler: Settler,
        observer: Observer,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._settler, self._observer = settler, observer
        self._lease_s, self._clock = lease_s, clock
        self._dispatcher: DispatcherPort | None = None
        self._on_spilled: Callable[[], None] | None = None
        self._holdings: dict[Delivery, _Holding] = {}
        self._young: deque[_Holding] = deque()
        self._weight = 0
        self._slow: Counter[CallbackId] = Counter()
        self._slow_weight = 0
        self._rate = RateMeter()
        self._most = MIN_UNSETTLED
        self._spilled = SpillTracker()
        self._roomy = asyncio.Event()
        settler.on_settled = self._settled

    def connect(self, dispatcher: DispatcherPort, on_spilled: Callable[[], None]) -> None:
        """Connect the dispatcher, which gets what is added here.

        `on_spilled` is called while there are spilled rows, after each settlement: some may have
        been written, or there may be room for some.
        """
        self._dispatcher, self._on_spilled = dispatcher, on_spilled

    @property
    def dispatcher(self) -> DispatcherPort:
        """The connected dispatcher."""
        assert self._dispatcher is not None, "call Unsettled.connect before deliveries are added"
        return self._dispatcher

    def add(self, deliveries: Iterable[Delivery], pending_ack: PendingAck | None = None) -> None:
        """Take responsibility for the deliveries of one message, or of leased rows, and submit them
        to the dispatcher. New deliveries that would overtake older ones, or cannot start, are
        spilled.
        """
        now_s = self._clock()
        for delivery in deliveries:
            holding = _Holding(delivery, pending_ack, now_s)
            if pending_ack is not None and self._must_spill(delivery.callback_id):
                self._spill(holding)
                continue
            self._holdings[delivery] = holding
            self._weight += delivery.weight
            self._young.append(holding)
            self.dispatcher.submit(delivery)
        self._notice_room()

    def settle(self, settlement: Settlement) -> None:
        """Have an outcome written. The dispatcher calls this once for each delivery."""
        delivery = settlement.delivery
        holding = self._holdings.pop(delivery)
        self._weight -= delivery.weight
        if holding.is_slow:
            self._count_slow(delivery, -1)
        self._rate.step(self._clock(), delivery.weight)
        self._settler.add(settlement, holding.pending_ack)
        if settlement.throttled:
            self._keep_order(settlement.delivery)

    def add_spilled(self, callback_ids: Iterable[CallbackId]) -> None:
        """Record that new deliveries of these callbacks were claimed as rows, once for each."""
        for callback_id in callback_ids:
            self._spilled.add(callback_id, self._settler.enqueued)
            self._observer.deferred("spilled")
        self._notify_spilled()

    def begin_scan(self) -> SpillScan:
        """Begin a scan for due rows. The due poller ends it with `end_scan`."""
        return self._spilled.begin_scan(self._settler.enqueued - self._settler.backlog)

    def end_scan(self, scan: SpillScan, waiting: Collection[CallbackId]) -> None:
        """End a scan. The callbacks in `waiting` may be called and have rows that wait for their
        first attempt. Intake begins with the first scan.
        """
        self._spilled.end_scan(scan, waiting)
        self._notice_room()

    def free_slots(self, callback_id: CallbackId, is_retry: bool) -> int:
        """Return how many due rows of a share are worth leasing."""
        return 0 if self._hangs(callback_id) else self.dispatcher.free_slots(callback_id, is_retry)

    async def room(self) -> None:
        """Wait until more deliveries may be added."""
        await self._roomy.wait()

    @property
    def is_roomy(self) -> bool:
        """Whether more deliveries may be added."""
        return self._spilled.is_known and self.capacity_left > 0

    @property
    def capacity_left(self) -> int:
        """The weight of deliveries that there is room for. May be asked from any thread."""
        return self._most - (self._weight - self._slow_weight) - self._settler.weight

    def tick(self) -> None:
        """Persist or spill what has been here for too long. Called every `TICK_S`."""
        now_s = self._clock()
        self._most = max(
            MIN_UNSETTLED, min(MAX_UNSETTLED, int(WINDOW_S * self._rate.per_second(now_s)))
        )
        still_young: list[_Holding] = []
        while self._young and now_s - self._young[0].since_s >= PERSIST_AFTER_S:
            holding = self._young.popleft()
            if holding.delivery in self._holdings and not self._release(holding, now_s):
                still_young.append(holding)
        self._young.extendleft(reversed(still_young))
        self._notice_room()
        self.dispatcher.resume()

    @property
    def holds_messages(self) -> bool:
        """Whether an unsettled delivery still holds its message."""
        return any(holding.pending_ack for holding in self._holdings.values())

    def give_back_unstarted(self) -> None:
        """Give back what has not started here, for other processes. Called by a drain."""
        for delivery in list(self._holdings):
            if self.dispatcher.withdraw(delivery):
                self.settle(given_back(delivery))

    def _release(self, holding: _Holding, now_s: float) -> bool:
        """Persist or spill a delivery. Return False when it only has to wait longer: it has not
        started, and not because of its callback.
        """
        delivery = holding.delivery
        if self.dispatcher.has_started(delivery):
            self._persist(holding, now_s)
            return True
        stuck = self.dispatcher.is_stuck(delivery)
        if now_s < delivery.start_by_s and not stuck:
            return False
        if delivery.trigger is Trigger.FIRST:
            self._spill_waiting(delivery.callback_id)
        else:
            self.dispatcher.withdraw(delivery)
            self.settle(given_back(delivery, due_in_s=AGAIN_S if stuck else 0.0))
        return True

    def _persist(self, holding: _Holding, now_s: float) -> None:
        """Make a delivery in flight a leased row, which no longer holds its message."""
        delivery = holding.delivery
        holding.is_slow = True
        self._count_slow(delivery, 1)
        if holding.pending_ack is not None:
            self._settler.add(
                leased(delivery, self._lease_s - (now_s - holding.since_s)), holding.pending_ack
            )
            holding.pending_ack = None

    def _spill_waiting(self, callback_id: CallbackId) -> None:
        """Spill all that waits for its first attempt at this callback, or the younger would
        overtake the older.
        """
        for delivery in self.dispatcher.withdraw_firsts(callback_id):
            self._weight -= delivery.weight
            self._spill(self._holdings.pop(delivery))

    def _keep_order(self, throttled: Delivery) -> None:
        """Spill what waits behind a throttled delivery, whose callback is left alone for a while.
        It would overtake that delivery, and hold messages.
        """
        self._spill_waiting(throttled.callback_id)
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
        """Whether a callback has slow attempts while there are too many of those."""
        return self._slow_weight >= MAX_SLOW and callback_id in self._slow

    def _count_slow(self, delivery: Delivery, change: int) -> None:
        callback_id = delivery.callback_id
        self._slow_weight += change * delivery.weight
        self._slow[callback_id] += change
        if not self._slow[callback_id]:
            del self._slow[callback_id]

    def _settled(self) -> None:
        self._notice_room()
        if self._spilled:
            self._notify_spilled()

    def _notify_spilled(self) -> None:
        if self._on_spilled is not None:
            self._on_spilled()

    def _notice_room(self) -> None:
        if self.is_roomy:
            self._roomy.set()
        else:
            self._roomy.clear()
