"""The clock of an embedded store: it follows a wall clock that is set by hand, but due rows must
not be affected.
"""

from hypothesis import given
from hypothesis import strategies as st

from schemas.times import now_ms
from store.engine.clock import MOST_DRIFT, SteadyClock, StoreClock

HOUR_MS = 3_600_000


class Clocks:
    """A machine's two clocks, of which one can be set."""

    def __init__(self) -> None:
        self.wall_ms, self.boot_s = 1_795_000_000_000.0, 1000.0
        self.steady = SteadyClock(lambda: int(self.wall_ms * 1e6), lambda: self.boot_s)

    def pass_s(self, seconds: float) -> None:
        self.wall_ms += seconds * 1000
        self.boot_s += seconds


def test_it_is_the_wall_clock_while_that_is_not_set() -> None:
    """Times in lists are compared with those of other programs."""
    clocks = Clocks()

    clocks.pass_s(86_400)

    assert abs(clocks.steady.now_ms() - clocks.wall_ms) <= 1


def test_a_small_correction_is_followed_within_seconds() -> None:
    """What the network's time does all day."""
    clocks = Clocks()
    clocks.wall_ms += 200

    clocks.pass_s(5)

    assert abs(clocks.steady.now_ms() - clocks.wall_ms) <= 1


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(-10 * HOUR_MS, 10 * HOUR_MS)), max_size=20))
def test_whatever_is_set_time_runs_on_at_nearly_its_own_pace(
    steps: list[tuple[float, float]],
) -> None:
    """A jump ahead would fire all retries at once, a jump back would hold them for as long."""
    clocks = Clocks()
    before_ms = clocks.steady.now_ms()

    for seconds, jump_ms in steps:
        clocks.wall_ms += jump_ms
        clocks.pass_s(seconds)
        now_ms = clocks.steady.now_ms()

        assert (
            (1 - MOST_DRIFT) * seconds * 1000 - 2
            <= now_ms - before_ms
            <= (1 + MOST_DRIFT) * seconds * 1000 + 2
        )
        before_ms = now_ms


class PostgreSQL:
    """A connection to a database whose clock is an hour ahead of ours."""

    class dialect:  # noqa: N801 - as SQLAlchemy calls it
        name = "postgresql"

    def scalar(self, _statement: object) -> int:
        return now_ms() + HOUR_MS


def test_without_a_question_it_counts_on_from_the_last_answer() -> None:
    """Attempts are started by it, on the event loop, which waits for no answer."""
    at_s = 100.0
    clock = StoreClock(lambda: at_s)
    assert abs(clock.known() - now_ms()) < 1_000, "nothing was heard yet"
    answered = clock.now(PostgreSQL())  # type: ignore[arg-type]  # a fake in its place

    at_s += 7

    assert answered - now_ms() > HOUR_MS - 1_000
    assert clock.known() == answered + 7_000
