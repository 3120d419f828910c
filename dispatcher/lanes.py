"""Lanes: one per callback (docs/invariants.md#a-hanging-callback-costs-only-itself). Pure
bookkeeping; the dispatcher starts the attempts.

A lane has `concurrency` slots. Every attempt that is not a first one counts as a retry here.
Retries may use only a share of the slots, so first attempts never wait behind them. Each
conversation has at most one delivery in flight, so its events arrive in order while none fails
(docs/invariants.md#lanes-are-fair).
"""

from collections import OrderedDict, deque
from math import inf

from dispatcher.throttle import Throttle
from schemas.deliveries.deliveries import Delivery, Trigger
from schemas.rate_meter import RateMeter

RETRY_SHARE = 4
"""Retries may use one slot in this many (at least one), and one start in this many while first
attempts wait. Smaller: a backlog of retries drains faster, new events wait longer.
"""

MOVING_WITHIN_S = 1.0
"""A full lane is moving if its last attempt started this recently. Larger: rows are leased for a
callback that hangs, only to be returned. Smaller: the rows of a slow callback wait longer.
"""

STUCK_AFTER_S = 1.0
"""A delivery that will not start within this many seconds is not worth keeping in memory. Equal to
the time after which unsettled deliveries are persisted (`consumers.pipeline.unsettled`). Longer: a
callback that hangs uses more of the process's capacity. Shorter: slow callbacks cause more rows.
"""

JUDGED_AFTER_S = 0.3
"""A lane that has been full for less time is not judged, because its rate is not known yet. Longer:
a callback that hangs uses more of the process's capacity.
"""

THROTTLED_AHEAD_S = 0.5
"""Seconds of work that are leased ahead for a throttled lane, whose next start is known. Must be
shorter than `STUCK_AFTER_S`, or rows are returned, and longer than the interval between scans for
due rows, or starts are missed.
"""

LEASE_AHEAD_S = 0.2
"""Seconds of work that are leased ahead for a lane that is not throttled. Shorter: a quick
callback's backlog drains only as fast as the store is scanned. Longer: more rows wait here under a
lease, out of reach of other dispatchers.
"""


def retry_slots(concurrency: int) -> int:
    """Return how many retries may be in flight in a lane of so many slots."""
    return max(1, concurrency // RETRY_SHARE)


class Lane:
    """The deliveries of one callback that wait or are in flight in this process."""

    __slots__ = (
        "_behind", "_concurrency", "_firsts", "_firsts_in_a_row", "_full_since_s", "_in_flight",
        "_last_start_s", "_rate", "_retries", "_retries_in_flight", "_retry_slots",
        "_waiting_firsts", "_waiting_retries", "has_timer", "throttle",
    )  # fmt: skip

    def __init__(self, concurrency: int):
        self._concurrency = concurrency
        self._retry_slots = retry_slots(concurrency)
        self._firsts: OrderedDict[Delivery, None] = OrderedDict()
        self._retries: OrderedDict[Delivery, None] = OrderedDict()
        self._behind: dict[str, deque[Delivery]] = {}
        self._in_flight = 0
        self._retries_in_flight = 0
        self._firsts_in_a_row = 0
        self._waiting_firsts = 0
        self._waiting_retries = 0
        self._rate = RateMeter()
        self._last_start_s = -inf
        self._full_since_s: float | None = None
        self.throttle: Throttle | None = None
        """The throttle of a callback whose receiver asked for a pause; None: there is no limit."""
        self.has_timer = False
        """Whether a timer is set for the moment at which the throttle allows the next start."""

    def add(self, delivery: Delivery) -> None:
        """Queue a delivery, or let it wait for an earlier one of its conversation."""
        self._count_waiting(delivery, 1)
        behind = self._behind.get(delivery.conversation_id)
        if behind is not None:
            behind.append(delivery)
            return
        self._behind[delivery.conversation_id] = deque()
        self._queue(delivery)[delivery] = None

    def next(self, now_s: float) -> Delivery | None:
        """Return the delivery whose attempt starts now, and give it a slot. Return None when none
        is waiting, or none may start.
        """
        if self._in_flight >= self._concurrency:
            if self._full_since_s is None and self._firsts:
                self._full_since_s = now_s
            return None
        may_retry = bool(self._retries) and self._retries_in_flight < self._retry_slots
        if (
            self.throttle is not None
            and (may_retry or self._firsts)
            and not self.throttle.start(now_s)
        ):
            return self._next_despite_throttle(now_s) if may_retry else None
        if may_retry and (not self._firsts or self._firsts_in_a_row >= RETRY_SHARE - 1):
            delivery, _ = self._retries.popitem(last=False)
            self._firsts_in_a_row = 0
        elif self._firsts:
            delivery, _ = self._firsts.popitem(last=False)
            self._firsts_in_a_row += 1
        else:
            return None
        self._use_slot(delivery, now_s)
        return delivery

    def _next_despite_throttle(self, now_s: float) -> Delivery | None:
        """Return the next requested attempt or probe: throttles limit neither of them."""
        delivery = next(
            (
                waiting
                for waiting in self._retries
                if waiting.is_requested or waiting.trigger is Trigger.PROBE
            ),
            None,
        )
        if delivery is not None:
            del self._retries[delivery]
            self._use_slot(delivery, now_s)
        return delivery

    def done(self, delivery: Delivery, now_s: float) -> None:
        """Free the slot of an attempt that ended, and queue the next of its conversation."""
        self._rate.step(now_s)
        self._in_flight -= 1
        self._retries_in_flight -= delivery.trigger is not Trigger.FIRST
        if not self._firsts:
            self._full_since_s = None
        self._queue_next(delivery)

    def withdraw(self, delivery: Delivery) -> bool:
        """Remove a delivery whose attempt has not started; return False when it has."""
        queue = self._queue(delivery)
        if delivery in queue:
            del queue[delivery]
            self._queue_next(delivery)
        elif self.waits_behind(delivery):
            self._behind[delivery.conversation_id].remove(delivery)
        else:
            return False
        self._count_waiting(delivery, -1)
        return True

    def withdraw_firsts(self) -> list[Delivery]:
        """Remove and return all first attempts that have not started, in their order."""
        behind = [
            delivery
            for waiting in self._behind.values()
            for delivery in waiting
            if delivery.trigger is Trigger.FIRST
        ]
        withdrawn = [*self._firsts, *behind]
        for delivery in withdrawn:
            self.withdraw(delivery)
        return withdrawn

    def is_overfull(self, now_s: float) -> bool:
        """Return whether a new first attempt would, at the present rate, not start within
        `STUCK_AFTER_S`.

        As many as there are slots may always wait: one round of responses frees a slot for each.
        """
        if self.throttle is not None:
            return self._waiting_firsts >= self.throttle.startable(now_s, STUCK_AFTER_S)
        return (
            self._waiting_firsts >= self._concurrency
            and self.stuck_for_s(now_s) >= JUDGED_AFTER_S
            and self._is_slow(now_s)
        )

    def is_stuck(self, now_s: float) -> bool:
        """Return whether the callback, and not this process, keeps the waiting deliveries waiting.
        A lane that has been full for long is not enough: the lane of a quick callback is full, too,
        while the process is overloaded.
        """
        return self.throttle is not None or (
            self.stuck_for_s(now_s) >= STUCK_AFTER_S and self._is_slow(now_s)
        )

    def stuck_for_s(self, now_s: float) -> float:
        """Return how long all slots have been in use while first attempts wait."""
        return 0.0 if self._full_since_s is None else now_s - self._full_since_s

    def free_slots(self, now_s: float, is_retry: bool) -> int:
        """Return how many due rows of one share are worth leasing.

        For retries, that is as many as can start at once. For first attempts, those that will start
        before the next scan are added, so that a quick callback does not wait for the store. A full
        lane that is moving gets one row, or the rows of a busy callback would never start.
        """
        free = self._concurrency - self._in_flight
        if self.throttle is not None:
            return self._free_when_throttled(
                min(free, self.throttle.startable(now_s, THROTTLED_AHEAD_S)), is_retry
            )
        if free == 0 and now_s - self._last_start_s < MOVING_WITHIN_S:
            free = 1
        if is_retry:
            return max(
                0, min(free, self._retry_slots - self._retries_in_flight) - self._waiting_retries
            )
        return max(
            0, free + int(LEASE_AHEAD_S * self._rate.per_second(now_s)) - self._waiting_firsts
        )

    def _free_when_throttled(self, startable: int, is_retry: bool) -> int:
        """Return the free slots of a throttled lane, whose two shares wait for the same starts."""
        most = (
            min(startable, self._retry_slots - self._retries_in_flight) if is_retry else startable
        )
        return max(0, most - self._waiting_firsts - self._waiting_retries)

    @property
    def could_start(self) -> bool:
        """Whether a delivery waits that has a free slot, so that only a throttle can delay it."""
        may_retry = bool(self._retries) and self._retries_in_flight < self._retry_slots
        return self._in_flight < self._concurrency and (may_retry or bool(self._firsts))

    @property
    def conversations(self) -> frozenset[str]:
        """The conversations with a delivery in flight or waiting."""
        return frozenset(self._behind)

    @property
    def is_empty(self) -> bool:
        """Whether no delivery is waiting or in flight."""
        return not self._behind

    def waits_behind(self, delivery: Delivery) -> bool:
        """Return whether a delivery waits for another one of its conversation."""
        return delivery in self._behind.get(delivery.conversation_id, ())

    def _is_slow(self, now_s: float) -> bool:
        return self._waiting_firsts > STUCK_AFTER_S * self._rate.per_second(now_s)

    def _queue(self, delivery: Delivery) -> OrderedDict[Delivery, None]:
        return self._firsts if delivery.trigger is Trigger.FIRST else self._retries

    def _use_slot(self, delivery: Delivery, now_s: float) -> None:
        self._in_flight += 1
        self._retries_in_flight += delivery.trigger is not Trigger.FIRST
        self._count_waiting(delivery, -1)
        self._last_start_s = now_s

    def _queue_next(self, delivery: Delivery) -> None:
        behind = self._behind[delivery.conversation_id]
        if behind:
            following = behind.popleft()
            self._queue(following)[following] = None
        else:
            del self._behind[delivery.conversation_id]

    def _count_waiting(self, delivery: Delivery, change: int) -> None:
        if delivery.trigger is Trigger.FIRST:
            self._waiting_firsts += change
        else:
            self._waiting_retries += change
