"""Throttled callbacks in the dispatcher: which callbacks are paused, what is sent all the same, and
what is reported to the store.
"""

import time
from dataclasses import replace

import pytest

from dispatcher.breaker import OPEN_AFTER
from dispatcher.http.messages import HttpResponse
from dispatcher.lane_throttles import ACCEPTS_AFTER_MS, RECENT_MS
from schemas.deliveries.callback_health import HealthFinding
from schemas.deliveries.deliveries import Delivery, DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import Callback, CallbackHealth, Token
from tests.kit.dispatch_scene import OK, Scene, firsts
from tests.kit.making import CALLBACK, a_callback, a_delivery, a_token


@pytest.fixture
def scene() -> Scene:
    return Scene()


def busy(code: int = 429, retry_after: str | None = "60") -> HttpResponse:
    return HttpResponse(code, retry_after, b"", None, None, 0.0)


def a_throttled_callback(for_ms: int, **health: int) -> tuple[Token, Callback]:
    """A token and its callback, as the directory has them when a receiver asked another dispatcher
    for that.
    """
    return a_token(), replace(
        a_callback(), health=CallbackHealth(throttled_until=UnixMs(now_ms() + for_ms), **health)
    )  # type: ignore[arg-type]  # columns by name


def finding(settlement: Settlement) -> tuple[HealthFinding, float] | None:
    return settlement.health and (settlement.health.finding, settlement.health.pause_s)


@pytest.mark.parametrize(
    ("answer", "pause_s"),
    [(busy(), 60.0), (busy(503), 60.0), (busy(429, None), 0.5), (busy(429, "0"), 0.5)],
    ids=["429", "503", "bare", "0"],
)
def test_a_receiver_that_takes_no_more_is_left_alone_and_the_delivery_charged_nothing(
    scene: Scene, answer: HttpResponse, pause_s: float
) -> None:
    """It keeps its place and its schedule; the store learns for how long, and the breaker learns
    nothing.
    """
    scene.submit(a_delivery(lease=1, failures=1, number=2, trigger=Trigger.RETRY))
    settled = scene.answer(answer)

    assert (settled.state, settled.failures, settled.due_in_s, settled.throttled) == (
        DeliveryState.PENDING,
        1,
        0.0,
        True,
    )
    assert settled.attempt is not None
    assert settled.attempt.outcome is Outcome.THROTTLED
    assert finding(settled) == (HealthFinding.THROTTLED, pause_s)
    scene.submit(a_delivery("evt_2", conversation="cnv_2"))
    assert (scene.posted, scene.written) == ([], [])
    assert scene.dispatcher.free_slots(CALLBACK, False) == 0 or pause_s < 1
    assert scene.dispatcher.is_throttled(CALLBACK)


@pytest.mark.parametrize("code", [302, 404, 500, 502])
def test_another_failure_with_retry_after_is_one_of_its_delivery_alone(
    scene: Scene, code: int
) -> None:
    """It fails and waits as asked, and no other delivery waits with it."""
    scene.submit(a_delivery())
    settled = scene.answer(busy(code))

    assert (settled.failures, settled.due_in_s, settled.throttled, settled.health) == (
        1,
        60.0,
        False,
        None,
    )
    scene.submit(a_delivery("evt_2"))
    assert len(scene.posted) == 1


def test_however_often_it_is_throttled_no_breaker_opens(scene: Scene) -> None:
    """It does not end a run of failures."""
    for number in range(2 * OPEN_AFTER):
        scene.submit(
            a_delivery(f"evt_{number}", trigger=Trigger.MANUAL, attempt_id=f"att_{number}")
        )
        scene.answer(busy(429, "0"))
    assert scene.found is not None
    assert not scene.dispatcher._breakers.is_open(scene.found[1], time.monotonic())


def test_answers_that_come_together_are_reported_once(scene: Scene) -> None:
    """A write for each would be one of the callback's row for each."""
    scene.submit(*firsts(2))

    assert finding(scene.answer(busy())) == (HealthFinding.THROTTLED, 60.0)
    assert finding(scene.answer(busy())) is None


def test_a_requested_attempt_goes_while_its_callback_is_paused(scene: Scene) -> None:
    """Nothing automatic is what a receiver may ask for. What it answers to that counts, too."""
    scene.submit(a_delivery())
    scene.answer(busy(429, "1"))
    waiting = a_delivery("evt_2", conversation="cnv_2")
    by_hand = a_delivery("evt_3", conversation="cnv_3", trigger=Trigger.MANUAL, attempt_id="att_1")
    scene.submit(
        waiting,
        a_delivery("evt_4", conversation="cnv_4", trigger=Trigger.RECOVER, lease=1),
        by_hand,
    )

    settled = scene.answer(busy(429, "600"))

    assert (settled.delivery, settled.state, scene.posted) == (by_hand, None, [])
    assert finding(settled) == (HealthFinding.THROTTLED, 600.0)


def test_what_another_dispatcher_was_asked_is_heeded(scene: Scene) -> None:
    """It came by the directory, and holds after a restart. What was about to start waits as a row,
    and what is behind it too.
    """
    scene.found = a_throttled_callback(60_000)
    scene.submit(first := a_delivery())

    assert [(one.delivery, one.state, one.due_in_s, one.throttled) for one in scene.written] == [
        (first, DeliveryState.PENDING, 0.0, True)
    ]
    assert (scene.posted, scene.observer.put_off) == ([], ["throttled"])
    assert scene.dispatcher.free_slots(CALLBACK, False) == 0


@pytest.mark.parametrize(("hours", "left_alone_still"), [(1, False), (0, True), (-1, True)])
def test_it_is_left_alone_by_the_stores_clock(
    scene: Scene, hours: int, left_alone_still: bool
) -> None:
    """By our own, a machine whose clock is an hour slow would stop calling for an hour when asked
    for a second.
    """
    scene.found = a_throttled_callback(60_000)
    scene.store_now = UnixMs(now_ms() + hours * 3_600_000)

    assert (scene.dispatcher.free_slots(CALLBACK, False) == 0) is left_alone_still


def test_a_pause_longer_than_any_is_not_believed(scene: Scene) -> None:
    """The store's clock was ahead when it was written, and was set right. The longest that can be
    asked for is a day.
    """
    scene.found = a_throttled_callback(3 * 86_400_000)
    assert scene.dispatcher.free_slots(CALLBACK, False) > 0

    scene.found = a_throttled_callback(86_400_000)

    assert scene.dispatcher.free_slots(CALLBACK, False) == 0


def test_a_dispatcher_with_nothing_in_flight_heeds_it_before_it_takes_rows(scene: Scene) -> None:
    """It would take as many as it has slots, the moment the pause ends."""
    scene.found = a_throttled_callback(60_000)
    assert scene.dispatcher.free_slots(CALLBACK, False) == 0

    scene.dispatcher.resume()

    assert scene.dispatcher.is_throttled(CALLBACK)


@pytest.mark.parametrize(
    ("ago_ms", "carefully"), [(RECENT_MS - 5_000, True), (RECENT_MS + 5_000, False)]
)
def test_after_a_start_a_callback_that_was_left_alone_lately_is_called_carefully(
    scene: Scene, ago_ms: int, carefully: bool
) -> None:
    """Its pace was in the memory of who is gone."""
    scene.found = a_throttled_callback(-ago_ms)
    scene.dispatcher.free_slots(CALLBACK, False)

    assert scene.dispatcher.is_throttled(CALLBACK) is carefully
    scene.submit(*firsts(2))
    assert len(scene.posted) == (1 if carefully else 2)


def test_a_callback_that_was_changed_is_called_as_if_nothing_had_been(scene: Scene) -> None:
    """Another URL, another receiver: what the one before asked for a day is over."""
    scene.submit(a_delivery())
    scene.answer(busy(429, "86400"))
    scene.found = (a_token(), replace(a_callback(), health=CallbackHealth(generation=1)))

    assert scene.dispatcher.free_slots(CALLBACK, False) > 0
    assert not scene.dispatcher.is_throttled(CALLBACK)


def test_an_attempt_from_before_the_change_says_nothing(scene: Scene) -> None:
    """It was made at the old URL."""
    scene.submit(*firsts(2))
    scene.found = a_throttled_callback(-1, generation=1)
    scene.dispatcher.free_slots(CALLBACK, False)

    assert finding(scene.answer(busy())) is None


def test_starts_that_are_close_come_on_time(scene: Scene) -> None:
    """Ten ticks a second would be ten attempts a second."""
    scene.submit(a_delivery())
    scene.answer(busy(429, None))
    (lane,) = scene.dispatcher._lanes.values()
    assert lane.throttle is not None
    lane.throttle._until_s = time.monotonic() + 0.05
    scene.submit(a_delivery("evt_2"))

    ((delay_s, then),) = scene.timers
    assert 0 < delay_s <= 0.05
    lane.throttle._until_s = time.monotonic() - 1
    then()
    assert len(scene.posted) == 1


@pytest.mark.parametrize("why", ["its slots are taken", "whether it may be called is unknown"])
def test_no_timer_is_set_for_what_waits_for_something_else_than_its_pace(
    scene: Scene, why: str
) -> None:
    """It would be over at once, again and again: a dispatcher that does nothing else."""
    scene.submit(a_delivery())
    scene.answer(busy(429, None))
    (lane,) = scene.dispatcher._lanes.values()
    assert lane.throttle is not None
    lane.throttle._until_s, lane.throttle._credit = time.monotonic() - 1, 10.0
    lane.throttle.succeeded(
        time.monotonic(), time.monotonic() - 100
    )  # its pace has grown far beyond what is here
    scene.is_fresh = why == "its slots are taken"

    scene.submit(*firsts(4))

    assert len(scene.posted) == (2 if scene.is_fresh else 0)
    assert scene.timers == []


@pytest.mark.parametrize(
    ("for_ms", "reported"), [(ACCEPTS_AFTER_MS - 5_000, False), (ACCEPTS_AFTER_MS + 5_000, True)]
)
def test_a_success_is_reported_when_it_was_throttled_for_a_while(
    scene: Scene, for_ms: int, reported: bool
) -> None:
    """Otherwise each success of a receiver that refuses now and then would be a write."""
    since = UnixMs(now_ms() - for_ms)
    scene.found = a_throttled_callback(-60_000, throttled_since=since)
    scene.submit(a_delivery())

    assert finding(scene.answer(OK)) == ((HealthFinding.ACCEPTS, 0.0) if reported else None)


def test_a_throttled_attempt_is_counted_as_the_first_and_the_next_as_a_repetition(
    scene: Scene,
) -> None:
    """Although the delivery keeps its place among those that wait for their first."""
    scene.submit(a_delivery(number=2, lease=2))
    attempt = scene.answer().attempt

    assert attempt is not None
    assert (attempt.number, attempt.trigger) == (2, Trigger.RETRY)


def test_a_probe_is_sent_although_its_lane_is_throttled(scene: Scene) -> None:
    """Probes have a pace of their own, which the store keeps."""
    scene.found = (
        a_token(),
        replace(a_callback(), health=CallbackHealth(failing_since=UnixMs(1), probe_at=UnixMs(2))),
    )
    scene.submit(probe := a_delivery(trigger=Trigger.PROBE, lease=1))
    settled = scene.answer(busy(503))
    assert (settled.failures, settled.due_in_s, finding(settled)) == (
        0,
        0.0,
        (HealthFinding.THROTTLED, 60.0),
    )

    scene.submit(next_one(probe))

    assert len(scene.posted) == 1


def next_one(delivery: Delivery) -> Delivery:
    return a_delivery(
        delivery.event_id,
        trigger=delivery.trigger,
        lease=delivery.lease + 1,
        number=delivery.number + 1,
    )
