"""Recoveries whose slices fail or find little: others get their turn, and no slice looks at more
than it may. On both databases.
"""

from typing import Any

import pytest

from consumers.maintenance.recovery_runner import RecoveryRunner
from schemas.deliveries.recoveries import Recoverable, RecoveryState
from schemas.errors import StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import RecoveryId
from schemas.log_events import LogEvent
from schemas.times import LATEST
from store.recoveries import counting, scanning
from store.recoveries.jobs import Job, Slice
from tests.kit.api import Listening
from tests.kit.making import a_claim
from tests.kit.recovering import House, callback_of

EXHAUSTED, HELD, MISSING = Recoverable.EXHAUSTED, Recoverable.HELD, Recoverable.MISSING
REASON = "the database does not answer: canceling statement due to statement timeout"
TIMEOUT = StoreUnavailable(REASON)


class Stuck(RecoveryRunner):
    """One recovery whose slices of `at_least` rows or more fail."""

    def __init__(
        self,
        house: House,
        stuck: RecoveryId,
        at_least: int,
        slice_rows: int = 16,
        error: Exception = TIMEOUT,
    ):
        self.observer = Listening()
        super().__init__(house.database, house.directory, self.observer, slice_rows)
        self.stuck, self.at_least, self.error, self.tried = stuck, at_least, error, []

    def _slice(self, connection: Any, job: Job, now: Any) -> Slice:
        if job.recovery.id == self.stuck:
            self.tried.append(self._rows(job))
            if self._rows(job) >= self.at_least:
                raise self.error
        return super()._slice(connection, job, now)

    tried: list[int]


@pytest.mark.parametrize(
    ("error", "reason"), [(TIMEOUT, REASON), (ZeroDivisionError(), "ZeroDivisionError()")]
)
async def test_a_recovery_that_can_never_get_on_does_not_stop_the_others(
    house: House, error: Exception, reason: str
) -> None:
    """Its slice fails each time, because of the database or an internal error. The recovery shows
    why.
    """
    callback_id = callback_of(house.token())
    for number in range(40):
        house.lay(f"evt_{number}", callback_id)
    stuck = house.ask(MISSING)
    others = [house.ask(EXHAUSTED) for _ in range(3)]
    recoverer = Stuck(house, stuck, at_least=1, error=error)

    for _ in range(20):
        recoverer.work()

    assert [house.recovery(other).state for other in others] == [RecoveryState.DONE] * 3
    assert sum(house.recovery(other).done for other in others) == 40
    found = house.recovery(stuck)
    assert (found.state, found.done, found.trouble) == (RecoveryState.RUNNING, 0, reason)
    notes = [
        fields for what, fields in recoverer.observer.notes if what == LogEvent.RECOVERY_DEFERRED
    ]
    assert notes == [{"recovery": stuck, "reason": reason}], "reported once, not at every try"


async def test_what_fails_goes_last_while_others_have_something_to_do(house: House) -> None:
    """A slice that takes as long as a statement may would else have every second turn."""
    callback_id = callback_of(house.token())
    for number in range(100):
        house.lay(f"evt_{number}", callback_id)
    stuck = house.ask(MISSING)
    other = house.ask(EXHAUSTED)
    recoverer = Stuck(house, stuck, at_least=1, slice_rows=10)

    while house.recovery(other).state is RecoveryState.RUNNING:
        recoverer.work()

    assert recoverer.tried == [10]


async def test_a_slice_that_fails_is_tried_again_in_halves(house: House) -> None:
    """Until it can be done; with what succeeds it grows again, in every process alike."""
    callback_id = callback_of(house.token())
    for number in range(40):
        house.lay(f"evt_{number:02}", callback_id)
    asked = house.ask(EXHAUSTED)
    recoverer = Stuck(house, asked, at_least=5)

    for _ in range(3):
        recoverer.work()
    half = house.recovery(asked)
    Stuck(house, asked, at_least=100).work()

    assert recoverer.tried == [16, 8, 4]
    assert (half.done, half.trouble) == (4, None)
    assert house.recovery(asked).done == 9
    house.work()
    assert (house.recovery(asked).state, house.recovery(asked).done) == (RecoveryState.DONE, 40)


@pytest.mark.parametrize("states", [(EXHAUSTED,), (HELD,), (MISSING,)])
async def test_a_slice_looks_at_so_many_rows_and_goes_on_there(
    house: House, states: tuple[Recoverable, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wanted may be one in millions: a slice that walked on to the next would never end."""
    monkeypatch.setattr(scanning, "READ_PER_ROW", 2)  # with slices of three: six rows
    wanted, other = house.token("wanted"), house.token("other", *EventType)
    for number in range(20):
        held = {"state": "pending", "due_at": LATEST, "queued_at": 1_000} if HELD in states else {}
        token = wanted if number in {0, 13} else other
        house.lay(f"evt_{number:02}", callback_of(token), 1_000 + number, token_id=token.id, **held)
    house.change_callback(callback_of(wanted), held_before=2_000)
    asked = (
        house.ask(*states, token=wanted.id)
        if MISSING not in states
        else house.ask(MISSING, type=EventType.MESSAGE_STATUS)
    )

    slices = 0
    recoverer = house.recoverer()
    while house.recovery(asked).state is RecoveryState.RUNNING:
        recoverer.work()
        slices += 1

    assert slices >= 20 / 6
    found = house.recovery(asked)
    assert (found.total, found.done) == ((0, 0) if MISSING in states else (2, 2))


async def test_of_very_many_only_a_part_is_counted_before(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks must get an answer however many there are; the total grows as they are found."""
    monkeypatch.setattr(counting, "COUNTED", 5)
    callback_id = callback_of(house.token())
    for number in range(12):
        house.lay(f"evt_{number:02}", callback_id)
    house.claim(a_claim("evt_missing"))

    asked = house.ask(EXHAUSTED, MISSING)
    before = house.recovery(asked).total
    house.work()

    assert (before, house.recovery(asked).total, house.recovery(asked).done) == (5, 13, 13)
