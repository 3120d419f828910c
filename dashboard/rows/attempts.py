"""Attempts as pages show them. `templates/parts/attempts.html` shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import labels
from dashboard.labels import Speaker
from schemas.deliveries.deliveries import Attempt, Outcome
from schemas.texts import from_bytes, spelled_out

FULL = 3
"""The latest attempts that are shown with headers and bodies; the others are a line each, and shown
so on request. More: larger pages.
"""

LISTED = 50
"""The latest attempts that are shown at all."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt, in the person's language."""

    attempt: Attempt
    cause: str
    result: str
    colour: str
    phases: list[tuple[str, int]]
    """The phases that there were, with their milliseconds."""
    body: str
    """The beginning of the answer's body."""
    is_full: bool
    """Whether headers and bodies are shown."""


def attempt_rows(
    to: Speaker, attempts: Sequence[Attempt], asked: str | None = None
) -> list[AttemptRow]:
    """Return the rows of the latest attempts, newest first. The one with the id `asked` is full."""
    newest_first = attempts[::-1][:LISTED]
    return [
        _row(to, attempt, is_full=number < FULL or attempt.id == asked)
        for number, attempt in enumerate(newest_first)
    ]


def _row(to: Speaker, attempt: Attempt, *, is_full: bool) -> AttemptRow:
    words = labels.outcome(to, attempt.outcome)
    status = attempt.status_code
    return AttemptRow(
        attempt,
        cause=labels.trigger(to, attempt.trigger),
        result=words if status is None else f"{status} · {words}",
        colour="good" if attempt.outcome is Outcome.DELIVERED else "bad",
        phases=labels.phases(to, attempt.phases),
        body=spelled_out(from_bytes(attempt.response_body), keep="\n\t"),
        is_full=is_full,
    )
