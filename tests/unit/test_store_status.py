"""Whether the store answers, as the loops of a process find out. The clock is the test's."""

import pytest

from consumers.pipeline.store_availability import (
    CATCH_UP_S,
    ERROR_LOGGED_EVERY_S,
    SLOW_LOGGED_EVERY_S,
    StoreStatus,
)
from schemas.errors import StatementTimedOut, StoreUnavailable
from schemas.log_events import LogEvent
from tests.kit.dispatch_scene import Notes

SLOW = StatementTimedOut("the database took too long for this: x")


class Scene:
    """A store status, what it reported, and a clock."""

    def __init__(self) -> None:
        self.now_s, self.observer = 1000.0, Notes()
        self.status = StoreStatus(self.observer, lambda: self.now_s)

    @property
    def reported(self) -> list[object]:
        return [note["event"] for note in self.observer.notes]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_was_kept_in_memory_is_given_time_after_an_absence(scene: Scene) -> None:
    """Reported once, and once when it is over; lapsed leases are left alone until the others have
    written what they know.
    """
    for _ in range(2):
        scene.status.unavailable(StoreUnavailable("no answer"))
    scene.now_s += 7
    assert (scene.status.unavailable_for_s, scene.status.has_caught_up) == (7, False)

    scene.status.available()

    assert scene.reported == [LogEvent.STORE_UNAVAILABLE, LogEvent.STORE_AVAILABLE]
    scene.now_s += CATCH_UP_S - 0.1
    assert not scene.status.has_caught_up
    scene.now_s += 0.1
    assert scene.status.has_caught_up


def test_a_check_that_takes_too_long_is_no_outage(scene: Scene) -> None:
    """The store answers others: probes are made and lapsed leases are taken over. The operator is
    notified, but not at every check.
    """
    scene.status.slow(SLOW)
    scene.now_s += SLOW_LOGGED_EVERY_S - 1
    scene.status.slow(SLOW)
    assert (scene.status.unavailable_for_s, scene.status.has_caught_up) == (0, True)
    assert scene.reported == [LogEvent.STORE_SLOW]

    scene.now_s += 1
    scene.status.slow(SLOW)

    assert len(scene.reported) == 2


def test_an_error_that_comes_at_every_check_is_reported_now_and_then(scene: Scene) -> None:
    """The loops go on, and the log stays readable."""
    for wait_s in (0.0, ERROR_LOGGED_EVERY_S - 1, 1.0):
        scene.now_s += wait_s
        scene.status.internal_error("due", ZeroDivisionError("x"))

    assert scene.observer.notes == 2 * [
        {"event": LogEvent.INTERNAL_ERROR, "loop": "due", "error": "ZeroDivisionError('x')"}
    ]
