"""Lanes: one per callback, so that a hanging one costs only itself. Pure bookkeeping; the
dispatcher starts the attempts.

A lane has `concurrency` slots. First attempts never wait behind repeats: these may use a share of
the slots only. Of one conversation, one delivery at a time is on its way, so that its events arrive
in order while none fails.
"""

from collections import OrderedDict, deque
from math import inf

from dispatcher.throttle import Throttle
from schemas.deliveries.deliveries import Delivery, Trigger
from schemas.rate_meter import RateMeter

REPEAT_SHARE = 4
"""Repeats may use one slot in this many (at least one), and one start in this many while first
attempts wait. Smaller: a backlog of retries drains faster, new events wait longer.
"""

MOVES_S = 1.0
"""A full lane moves if its last attempt started this recently. Larger: rows are taken for a
callback that hangs, only to be given back; smaller: those of a slow one wait longer for their turn.
"""

PATIENCE_S = 1.0
"""What will not get its turn within this is not worth waiting here. The same as the hand's
patience.
"""

JUDGED_AFTER_S = 0.3
"""A lane that has been full for less is not judged: its pace is not known yet. Longer: one that
hangs keeps more of the hand.
"""

THROTTLED_AHEAD_S = 0.5
"""The same of a lane that is throttled, whose next start is known. Shorter than the patience, or
rows are given back; longer than the interval of looks at the store, or starts are missed.
"""

TAKE_AHEAD_S = 0.2
"""So much of a lane's work is taken from the store ahead of time. Shorter: a quick callback's
backlog drains at the pace of takes. Longer: more rows are leased to wait here, out of reach of
other dispatchers.
"""


def repeat_slots(concurrency: int) -> int:
    """How many repeats may be in flight in a lane of so many slots."""
    return max(1, concurrency // REPEAT_SHARE)


class Lane:
    """The deliveries of one callback that are in this process's hands."""

    __slots__ = (
        "_behind", "_concurrency", "_first", "_firsts_in_a_row", "_flying", "_flying_repeats", "_full_since_s", "_last_start_s",
        "_pace", "_repeat_slots", "_repeats", "_waiting_firsts", "_waiting_repeats", "has_timer", "throttle",
    )  # fmt: skip

    def __init__(self, concurrency: int):
        self._concurrency = concurrency
        self._repeat_slots = repeat_slots(concurrency)
        self._first: OrderedDict[Delivery, None] = OrderedDict()
        self._repeats: OrderedDict[Delivery, None] = OrderedDict()
        self._behind: dict[str, deque[Delivery]] = {}
        self._flying = 0
        self._flying_repeats = 0
        self._firsts_in_a_row = 0
        self._waiting_firsts = 0
        self._waiting_repeats = 0
        self._pace = RateMeter()
        self._last_start_s = -inf
        self._full_since_s: float | None = None
        self.throttle: Throttle | None = None
        self.has_timer = False
        """Whether somebody comes back when the throttle lets the next one start."""

    def add(self, delivery: Delivery) -> None:
        """Queue it, or let it wait behind the one of its conversation that is here already."""
        self._count_waiting(delivery, 1)
        behind = self._behind.get(delivery.conversation_id)
        if behind is not None:
            behind.append(delivery)
            return
        self._behind[delivery.conversation_id] = deque()
        self._queue(delivery)[delivery] = None

    def next(self, now_s: float) -> Delivery | None:
        """The delivery whose attempt starts now, taking a slot; None when there is none, or no slot
        for it.
        """
        if self._flying >= self._concurrency:
            if self._full_since_s is None and self._first:
                self._full_since_s = now_s
            return None
        repeat = bool(self._repeats) and self._flying_repeats < self._repeat_slots
        if self.throttle is not None and (repeat or self._first) and not self.throttle.start(now_s):
            return self._next_despite_throttle(now_s) if repeat else None
        if repeat and (not self._first or self._firsts_in_a_row >= REPEAT_SHARE - 1):
            delivery, _ = self._repeats.popitem(last=False)
            self._firsts_in_a_row = 0
        elif self._first:
            delivery, _ = self._first.popitem(last=False)
            self._firsts_in_a_row += 1
        else:
            return None
        self._take_off(delivery, now_s)
        return delivery

    def _next_despite_throttle(self, now_s: float) -> Delivery | None:
        """What somebody asked for is not automatic, and probes have a pace of their own."""
        delivery = next(
            (one for one in self._repeats if one.asked_for or one.trigger is Trigger.PROBE), None
        )
        if delivery is not None:
            del self._repeats[delivery]
            self._take_off(delivery, now_s)
        return delivery

    def done(self, delivery: Delivery, now_s: float) -> None:
        """Its attempt ended: the slot is free, and the next of its conversation may go."""
        self._pace.step(now_s)
        self._flying -= 1
        self._flying_repeats -= delivery.trigger is not Trigger.FIRST
        if not self._first:
            self._full_since_s = None
        self._let_next_go(delivery)

    def withdraw(self, delivery: Delivery) -> bool:
        """Take back a delivery whose attempt has not started; False when it has."""
        queue = self._queue(delivery)
        if delivery in queue:
            del queue[delivery]
            self._let_next_go(delivery)
        elif self.waits_behind(delivery):
            self._behind[delivery.conversation_id].remove(delivery)
        else:
            return False
        self._count_waiting(delivery, -1)
        return True

    def withdraw_firsts(self) -> list[Delivery]:
        """Take back all first attempts that have not started, in their order."""
        behind = [
            one
            for waiting in self._behind.values()
            for one in waiting
            if one.trigger is Trigger.FIRST
        ]
        withdrawn = [*self._first, *behind]
        for delivery in withdrawn:
            self.withdraw(delivery)
        return withdrawn

    def is_overfull(self, now_s: float) -> bool:
        """Whether a first attempt that came now would, at the present pace, not get its turn within
        the patience.

        As many as there are slots may always wait: one round of answers serves them.
        """
        if self.throttle is not None:
            return self._waiting_firsts >= self.throttle.startable(now_s, PATIENCE_S)
        return (
            self._waiting_firsts >= self._concurrency
            and self.stuck_for_s(now_s) >= JUDGED_AFTER_S
            and self._is_slow(now_s)
        )

    def is_stuck(self, now_s: float) -> bool:
        """Whether those that wait here wait for the callback. All slots taken for long is not
        enough: of a quick one they are, too, while this process has more to do than it can.
        """
        return self.throttle is not None or (
            self.stuck_for_s(now_s) >= PATIENCE_S and self._is_slow(now_s)
        )

    def stuck_for_s(self, now_s: float) -> float:
        """How long all slots have been taken while first attempts wait."""
        return 0.0 if self._full_since_s is None else now_s - self._full_since_s

    def free_slots(self, now_s: float, is_retry: bool) -> int:
        """How many due rows of a share are worth taking: as many repeats as can start at once; of
        first attempts also what will start before the next take, or a callback that is quick would
        wait for the store.

        A full lane has one row at hand while it moves: the rows of a busy callback would never get
        their turn otherwise.
        """
        free = self._concurrency - self._flying
        if self.throttle is not None:
            return self._free_of_throttled(
                min(free, self.throttle.startable(now_s, THROTTLED_AHEAD_S)), is_retry
            )
        if free == 0 and now_s - self._last_start_s < MOVES_S:
            free = 1
        if is_retry:
            return max(
                0, min(free, self._repeat_slots - self._flying_repeats) - self._waiting_repeats
            )
        return max(
            0, free + int(TAKE_AHEAD_S * self._pace.per_second(now_s)) - self._waiting_firsts
        )

    def _free_of_throttled(self, startable: int, is_retry: bool) -> int:
        """Both shares wait for the same starts."""
        most = min(startable, self._repeat_slots - self._flying_repeats) if is_retry else startable
        return max(0, most - self._waiting_firsts - self._waiting_repeats)

    @property
    def could_start(self) -> bool:
        """Whether something waits for which a slot is free: a throttle alone keeps it."""
        repeat = bool(self._repeats) and self._flying_repeats < self._repeat_slots
        return self._flying < self._concurrency and (repeat or bool(self._first))

    @property
    def conversations(self) -> frozenset[str]:
        """Of which something is on its way, or waits."""
        return frozenset(self._behind)

    @property
    def is_empty(self) -> bool:
        return not self._behind

    def waits_behind(self, delivery: Delivery) -> bool:
        """Whether it waits for another delivery of its conversation."""
        return delivery in self._behind.get(delivery.conversation_id, ())

    def _is_slow(self, now_s: float) -> bool:
        return self._waiting_firsts > PATIENCE_S * self._pace.per_second(now_s)

    def _queue(self, delivery: Delivery) -> OrderedDict[Delivery, None]:
        return self._first if delivery.trigger is Trigger.FIRST else self._repeats

    def _take_off(self, delivery: Delivery, now_s: float) -> None:
        self._flying += 1
        self._flying_repeats += delivery.trigger is not Trigger.FIRST
        self._count_waiting(delivery, -1)
        self._last_start_s = now_s

    def _let_next_go(self, delivery: Delivery) -> None:
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
            self._waiting_repeats += change
