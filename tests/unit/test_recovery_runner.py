"""What the recovery runner logs of a store that fails: once for each reason, and its end."""

from collections.abc import Iterator

import pytest

from consumers.maintenance.recovery_runner import RecoveryRunner
from schemas.errors import StatementTimedOut, StoreUnavailable
from schemas.log_events import LogEvent
from tests.kit.notes import Notes


class NoDatabase:
    """A database that is only subscribed to."""

    def subscribe(self, _notification: str, _wake: object) -> None: ...


class Failing(RecoveryRunner):
    """A runner whose slices end as the test says: an error, or nothing to work on."""

    def __init__(self, notes: Notes, ends: Iterator[Exception | None]):
        super().__init__(NoDatabase(), None, notes)  # type: ignore[arg-type]  # neither is used
        self._ends = ends

    def work(self) -> bool:
        if error := next(self._ends):
            raise error
        return False


@pytest.mark.parametrize(
    ("errors", "logged"),
    [
        (
            [StoreUnavailable("away"), StoreUnavailable("away"), None, None],
            [LogEvent.STORE_UNAVAILABLE, LogEvent.STORE_AVAILABLE],
        ),
        ([StatementTimedOut("slow"), StatementTimedOut("slow"), None], [LogEvent.STORE_SLOW]),
        ([ZeroDivisionError(), None, ZeroDivisionError()], [LogEvent.INTERNAL_ERROR] * 2),
    ],
)
async def test_a_failing_store_is_logged_once_with_its_end(
    errors: list[Exception | None], logged: list[LogEvent]
) -> None:
    """An operator pairs the two lines; a line at each poll would hide everything else."""
    notes = Notes()
    runner = Failing(notes, iter(errors))

    for _ in errors:
        await runner.step()

    assert notes.said == logged
    assert all(
        fields["part"] == "recoveries"
        for event, fields in notes.notes
        if event in {LogEvent.STORE_UNAVAILABLE, LogEvent.STORE_AVAILABLE}
    )
