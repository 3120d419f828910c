"""Breakers: when a callback is left alone, and what an attempt says about it. Pure; the clock is
the test's.
"""

import datetime as dt
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.breaker import GONE, KNOWN_WITHIN_S, MAX_RUNS, OPEN_AFTER, Breakers
from schemas.deliveries.callback_health import (
    FIRST_PROBE_S,
    LONGEST_PROBE_S,
    HealthFinding,
    HealthReport,
    probe_delay_s,
)
from schemas.deliveries.deliveries import Outcome, Trigger
from schemas.ids import CallbackId
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import Callback
from tests.kit.making import a_callback, a_delivery, an_attempt

FIVE_DAYS = dt.timedelta(days=5)


class Scene:
    """One dispatcher's breakers and one callback, which is in the state that the test gives it."""

    def __init__(self, disable_after: dt.timedelta = FIVE_DAYS) -> None:
        self.breakers, self.callback, self.now_s = Breakers(disable_after), a_callback(), 100.0

    def end(
        self, outcome: Outcome, trigger: Trigger = Trigger.FIRST, callback: Callback | None = None
    ) -> HealthReport | None:
        """What an attempt that ends so found out."""
        attempt = an_attempt(outcome, 500)
        return self.breakers.conclude(
            callback or self.callback, a_delivery(trigger=trigger), attempt, self.now_s, 0.5
        )

    def fail(self, times: int = 1, trigger: Trigger = Trigger.FIRST) -> list[HealthReport | None]:
        return [self.end(Outcome.HTTP_5XX, trigger) for _ in range(times)]

    @property
    def is_open(self) -> bool:
        return self.breakers.is_open(self.callback, self.now_s)

    def store_says(self, **health: object) -> None:
        """The directory knows this of the callback from now on."""
        changed = replace(
            self.callback.health,
            **health,  # type: ignore[arg-type]  # columns by name
        )
        self.callback = replace(self.callback, health=changed)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_last_of_so_many_failures_in_a_row_opens_it(scene: Scene) -> None:
    """Said once, with the time since the first of them; here it counts at once, elsewhere when the
    directory knows.
    """
    assert scene.fail(OPEN_AFTER - 1) == [None] * (OPEN_AFTER - 1)
    assert not scene.is_open
    scene.now_s += 7

    (report,) = scene.fail()

    assert report is not None
    assert (report.finding, report.callback_id, report.generation, report.jitter) == (
        HealthFinding.FAILING,
        scene.callback.id,
        0,
        0.5,
    )
    assert report.failing_for_s == pytest.approx(7.003)
    assert scene.is_open
    assert scene.fail(20) == [None] * 20, "what was in flight says nothing new"


def test_a_success_in_between_resets_the_count(scene: Scene) -> None:
    """A receiver that answers some of the time keeps being called."""
    scene.fail(OPEN_AFTER - 1)
    assert scene.end(Outcome.DELIVERED) is None

    assert scene.fail(OPEN_AFTER - 1) == [None] * (OPEN_AFTER - 1)


def test_an_opening_that_the_store_did_not_take_ends_and_is_said_again(scene: Scene) -> None:
    """No callback is held up by one dispatcher's memory alone."""
    scene.fail(OPEN_AFTER)
    scene.now_s += KNOWN_WITHIN_S
    assert not scene.is_open

    (again,) = scene.fail()

    assert again is not None
    assert again.finding is HealthFinding.FAILING


def test_what_the_store_says_is_open_is_open_until_it_says_otherwise(scene: Scene) -> None:
    """Another dispatcher may have opened it, or this one before a restart."""
    scene.store_says(failing_since=UnixMs(5))
    assert scene.is_open

    scene.store_says(failing_since=None, generation=1)

    assert not scene.is_open


@pytest.mark.parametrize("outcome", [Outcome.HTTP_5XX, Outcome.GONE, Outcome.DELIVERED])
def test_what_started_before_a_return_says_nothing_about_what_came_back(
    scene: Scene, outcome: Outcome
) -> None:
    """It was about another URL: it neither counts nor ends a count."""
    before = scene.callback
    scene.store_says(generation=1)
    scene.fail(OPEN_AFTER - 1)

    assert scene.end(outcome, callback=before) is None

    (report,) = scene.fail()
    assert report is not None
    assert (report.finding, report.generation) == (HealthFinding.FAILING, 1)


def test_a_return_makes_it_closed_here_at_once(scene: Scene) -> None:
    """A person changed it, or another dispatcher's probe succeeded."""
    scene.fail(OPEN_AFTER)
    scene.store_says(generation=1)

    assert not scene.is_open
    assert scene.fail(OPEN_AFTER - 1) == [None] * (OPEN_AFTER - 1), (
        "older failures do not count against it"
    )


@pytest.mark.parametrize("trigger", list(Trigger))
def test_any_success_closes_what_is_open(scene: Scene, trigger: Trigger) -> None:
    """A probe's, a late one's, one by hand: it works."""
    scene.store_says(failing_since=UnixMs(5), generation=3)

    assert scene.end(Outcome.DELIVERED, trigger) == HealthReport(
        scene.callback.id, 3, HealthFinding.WORKS
    )


def test_a_success_right_after_the_opening_closes_it_although_the_directory_knows_of_neither(
    scene: Scene,
) -> None:
    """The last of several attempts in flight together may succeed."""
    before = scene.callback
    scene.fail(OPEN_AFTER)

    report = scene.end(Outcome.DELIVERED, callback=before)

    assert report is not None
    assert report.finding is HealthFinding.WORKS
    assert not scene.is_open


@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.TEST])
def test_what_a_person_tries_and_fails_says_nothing(scene: Scene, trigger: Trigger) -> None:
    """Its failure is only recorded."""
    assert scene.fail(3 * OPEN_AFTER, trigger) == [None] * (3 * OPEN_AFTER)
    assert scene.end(Outcome.GONE, trigger) is None


def test_a_probe_that_fails_says_so_each_time(scene: Scene) -> None:
    """The next one comes later."""
    scene.store_says(failing_since=now_ms())

    reports = scene.fail(2, Trigger.PROBE)

    assert [report and report.finding for report in reports] == [HealthFinding.PROBE_FAILED] * 2


def test_gone_is_gone_at_the_first_word(scene: Scene) -> None:
    """Its receiver wants no more."""
    report = scene.end(Outcome.GONE)

    assert report is not None
    assert (report.finding, report.reason) == (HealthFinding.USELESS, GONE)
    assert scene.is_open, "at once, although the directory does not know yet"


def test_a_run_of_few_failures_that_lasts_too_long_is_reported(scene: Scene) -> None:
    """A callback with little to do would never get to so many failures. Whether it is disabled is
    for the store to say: another dispatcher may have had a success.
    """
    scene.fail()
    scene.now_s += FIVE_DAYS.total_seconds() - 1
    assert scene.fail() == [None]
    scene.now_s += 1

    (report,) = scene.fail()

    assert report is not None
    assert (report.finding, report.reason) == (HealthFinding.LASTING, "nothing succeeded for 5d")
    assert report.failing_for_s == pytest.approx(FIVE_DAYS.total_seconds() + 0.003)
    assert report.disable_after_s == FIVE_DAYS.total_seconds()
    assert not scene.is_open, "the store decides, and at once"


def test_a_long_run_that_the_store_did_not_disable_opens_at_so_many_failures_all_the_same(
    scene: Scene,
) -> None:
    """Its token is busy, so that the store cannot say since when nothing succeeded: a receiver that
    is gone would be called at full pace for ever, and each of its failures would look for that
    success.
    """
    for _ in range(OPEN_AFTER - 1):
        scene.fail()
        scene.now_s += FIVE_DAYS.total_seconds()
    assert [report and report.finding for report in scene.fail()] == [HealthFinding.FAILING]
    assert scene.is_open

    scene.now_s += KNOWN_WITHIN_S
    assert [report and report.finding for report in scene.fail()] == [HealthFinding.FAILING], (
        "the store did not take it"
    )
    scene.store_says(failing_since=now_ms())
    assert [report and report.finding for report in scene.fail()] == [HealthFinding.LASTING], (
        "of what was in flight: the store decides"
    )


@pytest.mark.parametrize("days", [-6, 6])
def test_a_host_whose_clock_leapt_finds_out_the_same(scene: Scene, days: int) -> None:
    """No time of day is compared with the store's: a machine that is resumed must not disable every
    failing callback.
    """
    scene.store_says(failing_since=UnixMs(now_ms() - 60_000))
    leapt = msgspec.structs.replace(
        an_attempt(Outcome.HTTP_5XX, 500), started_at=UnixMs(now_ms() + days * 86_400_000)
    )

    report = scene.breakers.conclude(
        scene.callback, a_delivery(trigger=Trigger.PROBE), leapt, scene.now_s, 0.0
    )

    assert report is not None
    assert (report.finding, report.failing_for_s) == (
        HealthFinding.PROBE_FAILED,
        pytest.approx(0.003),
    )


def test_runs_in_memory_are_bounded(scene: Scene) -> None:
    """Callbacks are deleted, and this dispatcher is not notified."""
    scene.fail(OPEN_AFTER - 1)
    for number in range(MAX_RUNS):
        scene.end(Outcome.TIMEOUT, callback=replace(scene.callback, id=CallbackId(f"{number}")))

    assert scene.fail() == [None], "the oldest was forgotten"


@given(probes=st.integers(0, 10_000), jitter=st.floats(-1, 1))
def test_probes_come_later_and_later_but_never_later_than_five_minutes(
    probes: int, jitter: float
) -> None:
    """Moved by a tenth at most."""
    delay_s = probe_delay_s(probes, jitter)

    assert 0.9 * FIRST_PROBE_S <= delay_s <= 1.1 * LONGEST_PROBE_S
    assert probe_delay_s(probes, 0) <= probe_delay_s(probes + 1, 0)


def test_the_first_probes_double() -> None:
    """A receiver that was only restarted is soon found."""
    assert [probe_delay_s(n, 0) for n in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
