"""Threads that do one thing again and again: their rhythm, their stop,
and what an exception does.
"""

import threading
from collections.abc import Callable

from schemas.log_events import LogEvent
from store.engine.background import PeriodicThread
from tests.kit.notes import Notes
from tests.kit.waiting import wait_for

NEVER_S = 3600.0


def thread(
    flush: Callable[[], float | None], notes: Notes | None = None, **options: object
) -> PeriodicThread:
    given = {"every_s": NEVER_S, "close_timeout_s": 20.0, **options}
    return PeriodicThread(
        "a-thread",
        flush,
        observer=notes or Notes(),
        **given,  # type: ignore[arg-type]  # as the tests give them
    )


def test_it_flushes_when_woken_and_at_its_end_finishes_once() -> None:
    """A stop does not wait for the interval, nor flush once more by itself."""
    flushed, done = threading.Event(), list[str]()

    def flush() -> None:
        done.append("flush")
        flushed.set()

    background = thread(flush, finish=lambda: done.append("finish"))
    background.start()
    assert done == []
    background.wake()
    assert flushed.wait(20)
    background.close()

    assert done == ["flush", "finish"]
    assert not background.is_alive()


def test_a_wake_before_the_start_makes_it_begin_at_once() -> None:
    """What has to be done at the start does not wait for an interval."""
    flushed = threading.Event()
    background = thread(flushed.set)
    background.wake()
    background.start()

    assert flushed.wait(20)
    background.close()


def test_it_flushes_at_its_interval_or_after_the_delay_that_a_flush_asks_for() -> None:
    """One interval for most, a longer pause for one that knows better."""
    calls, twice = [0], threading.Event()

    def flush() -> float | None:
        calls[0] += 1
        if calls[0] == 2:
            twice.set()
            return NEVER_S
        return None

    background = thread(flush, every_s=0.001)
    background.start()
    assert twice.wait(20)
    assert background.is_alive()
    background.close()

    assert calls == [2]


def test_an_exception_is_logged_and_the_thread_goes_on() -> None:
    """Ended, it would leave its work undone until a restart."""
    notes, calls = Notes(), list[int]()

    def flush() -> None:
        calls.append(1)
        raise ZeroDivisionError("x")

    background = thread(flush, notes, every_s=0.001, finish=flush)
    background.start()
    wait_for("two flushes", lambda: len(calls) >= 2)
    background.close()

    logged = notes.of(LogEvent.INTERNAL_ERROR)
    assert len(logged) == len(calls), "the end's among them"
    assert logged[0] == {"loop": "a-thread", "error": "ZeroDivisionError('x')"}


def test_a_close_does_not_wait_longer_than_its_limit() -> None:
    """A store that is silent must not hold up the end of a process."""
    entered, leave = threading.Event(), threading.Event()

    def flush() -> None:
        entered.set()
        assert leave.wait(20)

    background = thread(flush, close_timeout_s=0.01)
    background.wake()
    background.start()
    assert entered.wait(20)
    background.close()
    assert background.is_alive()
    assert background.stopping

    leave.set()
    background.join(20)
    assert not background.is_alive()


def test_one_that_was_never_started_is_closed_all_the_same() -> None:
    """A process that fails at its start closes everything."""
    done = list[int]()

    thread(lambda: done.append(1), finish=lambda: done.append(2)).close()

    assert done == []
