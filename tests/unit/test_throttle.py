"""Throttles, against receivers that count in different ways, at a clock of the test's own."""

import functools
import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.throttle import FIRST_PAUSE_S, LONGEST_PAUSE_S, OVER_AFTER_S, Throttle

SLOTS, TRIP_S, TOLD_AFTER_S = 16, 0.01, 0.4


@dataclass
class Window:
    """A receiver that takes so many in each window, and asks later callers to wait for so long.
    None: it says nothing about it.
    """

    most: int
    asks_s: float | None = 1.0
    window_s: float = 1.0
    number: int = -1
    taken: int = 0

    def takes(self, now_s: float) -> bool:
        if int(now_s / self.window_s) != self.number:
            self.number, self.taken = int(now_s / self.window_s), 0
        self.taken += 1
        return self.taken <= self.most


@dataclass
class Bucket:
    """Takes a burst, and then so many a second, evenly."""

    rate: float
    burst: float
    asks_s: float | None = 1.0
    room: float = math.inf
    at_s: float = 0.0

    def takes(self, now_s: float) -> bool:
        self.room, self.at_s = min(self.burst, self.room + (now_s - self.at_s) * self.rate), now_s
        self.room -= (taken := self.room >= 1)
        return taken


@dataclass
class Dispatcher:
    """A lane as far as these tests need it: slots, and a throttle once it was refused
    or notified.
    """

    throttle: Throttle | None = None
    flying: int = 0

    def starts(self, now_s: float) -> bool:
        if self.flying >= SLOTS or not (self.throttle is None or self.throttle.start(now_s)):
            return False
        self.flying += 1
        return True


@dataclass
class World:
    """Dispatchers with more to send than ever gets through, and a receiver."""

    receiver: Window | Bucket
    dispatchers: list[Dispatcher]
    taken: int = 0
    refused: int = 0
    early: int = 0
    _events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self, seconds: float) -> float:
        """What was taken a second."""
        for number, one in enumerate(self.dispatchers):
            self._at(number * TRIP_S, functools.partial(self._tick, one))
        while self._events and self._events[0][0] < seconds:
            now_s, _, happens = heapq.heappop(self._events)
            happens(now_s)
        return self.taken / seconds

    def _at(self, at_s: float, happens: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._numbers), happens))

    def _tick(self, one: Dispatcher, now_s: float) -> None:
        self._pump(one, now_s)
        after_s = (
            0.1 if one.throttle is None else min(0.1, max(0.002, one.throttle.next_start_s(now_s)))
        )
        self._at(now_s + after_s, lambda now_s: self._tick(one, now_s))

    def _pump(self, one: Dispatcher, now_s: float) -> None:
        while one.starts(now_s):
            self._at(
                now_s + TRIP_S, lambda at_s, started_s=now_s: self._answered(one, started_s, at_s)
            )  # type: ignore[misc]

    def _answered(self, one: Dispatcher, started_s: float, now_s: float) -> None:
        one.flying -= 1
        if self.receiver.takes(now_s):
            self.taken += 1
            if one.throttle is not None:
                one.throttle.succeeded(started_s, now_s)
        else:
            self.refused += 1
            self._refused(one, started_s, now_s)
        self._pump(one, now_s)

    def _refused(self, one: Dispatcher, started_s: float, now_s: float) -> None:
        one.throttle = one.throttle or Throttle(0, now_s)
        pause_s = one.throttle.refused(started_s, now_s, self.receiver.asks_s)
        for other in self.dispatchers if pause_s else ():
            if other is not one:
                self._at(
                    now_s + TOLD_AFTER_S,
                    lambda at_s, other=other, until_s=now_s + (pause_s or 0): _hear(
                        other, until_s, at_s
                    ),
                )  # type: ignore[misc]


def _hear(other: Dispatcher, until_s: float, now_s: float) -> None:
    if until_s > now_s:
        other.throttle = other.throttle or Throttle(0, now_s)
        other.throttle.apply_pause(until_s - now_s, now_s)


@pytest.mark.parametrize("dispatchers", [1, 2])
@pytest.mark.parametrize(
    ("receiver", "least"),
    [
        (Window(5), 4.0), (Bucket(5, 5), 4.0), (Bucket(5, 20), 4.0), (Window(50), 35.0),
        (Bucket(50, 50), 35.0),
        (Window(1, asks_s=2.0, window_s=2.0), 0.3), (Window(5, asks_s=None), 4.0),
        (Window(5, asks_s=0.0), 4.0),
        (Window(5, asks_s=30.0), 2.5), (Window(150, asks_s=20.0, window_s=30.0), 3.5),
    ],
    ids=[
        "window", "bucket", "burst", "fast", "fast-bucket", "slow", "silent", "zero", "long",
        "quota",
    ],
)  # fmt: skip
def test_a_receiver_gets_nearly_what_it_takes(
    receiver: Window | Bucket, least: float, dispatchers: int
) -> None:
    """However it counts, whatever it asks for, and with dispatchers that share it without knowing
    of each other.
    """
    fresh = type(receiver)(
        **{
            name: getattr(receiver, name)
            for name in ("most", "asks_s", "window_s", "rate", "burst")
            if hasattr(receiver, name)
        }
    )
    world = World(fresh, [Dispatcher() for _ in range(dispatchers)])
    seconds = 900.0 if receiver.asks_s and receiver.asks_s > 2 else 180.0

    assert world.run(seconds) >= least
    assert world.refused <= 0.35 * world.taken + 2 * SLOTS * dispatchers


def test_one_attempt_goes_after_a_pause_and_then_more() -> None:
    """A receiver that still refuses gets one request, not as many as there are slots."""
    throttle = Throttle(0, 100.0)
    assert throttle.refused(99.9, 100.0, 5.0) == 5.0

    assert not throttle.start(104.9)
    assert [throttle.start(105.0) for _ in range(3)] == [True, False, False]
    throttle.succeeded(105.0, 105.1)
    rates = [throttle.rate(at_s) for at_s in (105.1, 107.1, 109.1)]

    assert rates == pytest.approx([1.0, 2.0, 4.0])


@pytest.mark.parametrize("asked_s", [None, 0.0, 1.0, 30.0, 86_400.0])
def test_a_receiver_is_left_alone_for_as_long_as_it_asks_and_longer_while_it_takes_nothing(
    asked_s: float | None,
) -> None:
    """`Retry-After: 1` from one that is away for days would be a request a second."""
    throttle, now_s, pauses = Throttle(0, 0.0), 0.0, []
    for _ in range(20):
        assert throttle.refused(now_s, now_s, asked_s) is not None
        pauses.append(throttle.pause_left_s(now_s))
        now_s += pauses[-1]
        assert throttle.start(now_s)

    assert pauses[0] == max(FIRST_PAUSE_S, asked_s or 0.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == max(LONGEST_PAUSE_S, asked_s or 0.0)


def test_attempts_that_were_under_way_together_are_refused_once() -> None:
    """Sixteen answers at once are one piece of news; what one of them asks for beyond the others
    counts.
    """
    throttle = Throttle(0, 10.0)
    pauses = [throttle.refused(9.9, 10.0 + number / 1000, 1.0) for number in range(16)]

    assert pauses == [1.0, *[None] * 15]
    assert throttle.refused(9.9, 10.1, 60.0) == 60.0
    assert throttle.pause_left_s(10.1) == pytest.approx(60.0)
    assert throttle.refused(9.9, 10.2, 1.0) is None
    assert throttle.pause_left_s(10.2) == pytest.approx(59.9)


def test_a_dispatcher_that_was_only_notified_lets_the_refused_one_go_first() -> None:
    """Two that begin together would be refused together, for ever."""
    notified = Throttle(0, 0.0)
    notified.apply_pause(2.0, 0.0)

    assert not notified.start(2.0)
    assert notified.start(3.0)


def test_what_comes_back_from_the_store_is_no_second_refusal() -> None:
    """The clocks differ a little, and a poll takes a moment."""
    throttle = Throttle(0, 0.0)
    throttle.refused(0.0, 0.0, 2.0)
    throttle.apply_pause(1.7, 0.4)

    assert throttle.start(2.0)


def test_a_throttle_is_forgotten_when_it_limits_nothing_or_is_not_needed() -> None:
    """A receiver that takes everything again is one like any other."""
    grown, idle = Throttle(0, 0.0), Throttle(0, 0.0)
    for throttle in (grown, idle):
        throttle.refused(0.0, 0.0, 1.0)
        assert throttle.start(1.0)
    grown.succeeded(1.0, 1.1)

    assert not grown.is_over(15.0)
    assert grown.is_over(25.0)
    assert not idle.is_over(25.0)
    assert idle.is_over(OVER_AFTER_S + 3)


@given(
    st.lists(
        st.tuples(
            st.floats(0.001, 30),
            st.sampled_from(["taken", "refused", "heard", "waits"]),
            st.floats(0, 90_000),
        ),
        max_size=60,
    )
)
def test_nothing_starts_before_the_time_that_was_asked_for(
    story: list[tuple[float, str, float]],
) -> None:
    """Whatever happens at the same time."""
    throttle, now_s, until_s = Throttle(0, 0.0), 0.0, 0.0
    for after_s, what, seconds in story:
        now_s += after_s
        if what == "taken":
            throttle.succeeded(now_s, now_s)
        elif what == "refused":
            throttle.refused(now_s, now_s, seconds)
            until_s = max(until_s, now_s + seconds)
        elif what == "heard":
            throttle.apply_pause(seconds, now_s)
            until_s = max(until_s, now_s + seconds - 0.25)

        assert throttle.pause_left_s(now_s) >= until_s - now_s - 1e-6
        assert throttle.start(now_s) is False or now_s >= until_s - 1e-6
        assert throttle.startable(now_s, until_s - now_s - 0.1) == 0 or until_s <= now_s
