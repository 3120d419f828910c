"""Rows of figures: what a row says, and how it is written. Called by everything that writes or
reads figures.
"""

import secrets
from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Outcome
from schemas.figures import UNSUCCESSFUL, Figures
from schemas.latency_histogram import add_encoded, encoded
from store.engine import bulk
from store.engine.sql_types import SqlRow

OF_ATTEMPTS = (
    "delivered",
    "failed",
    "failures",
    "latency",
    *(state.value for state in UNSUCCESSFUL),
)
"""The columns of a callback's figures. `first_delay` and `accepted` are of no callback."""

OF_TRAFFIC = (*OF_ATTEMPTS, "first_delay", "accepted")
"""The columns of all figures."""

REPLACE_TRAFFIC = bulk.Upsert(OF_TRAFFIC)
"""Gives a row of all traffic new figures."""

REPLACE_ATTEMPTS = bulk.Upsert(OF_ATTEMPTS)
"""Gives a row of a callback new figures."""

_ENDED = tuple((state, state.value) for state in UNSUCCESSFUL)
_failures = msgspec.json.Decoder(dict[str, int])


def new_writer() -> str:
    """Return the name of a writer that there never was."""
    return secrets.token_hex(6)


def columns_of_attempts(figures: Figures) -> bulk.Row:
    """Return the columns OF_ATTEMPTS."""
    failures = figures.failures
    return {
        "delivered": figures.delivered,
        "failed": sum(failures.values()),
        "failures": msgspec.json.encode(failures, order="sorted").decode() if failures else None,
        "latency": encoded(figures.latency),
        **{state.value: figures.ended.get(state, 0) for state in UNSUCCESSFUL},
    }


def columns_of_traffic(figures: Figures) -> bulk.Row:
    """Return the columns OF_TRAFFIC."""
    return {
        **columns_of_attempts(figures),
        "first_delay": encoded(figures.first_delay),
        "accepted": figures.accepted,
    }


def add_attempts(figures: Figures, row: SqlRow) -> None:
    """Add the columns OF_ATTEMPTS of a row."""
    outcomes, ended = figures.outcomes, figures.ended
    if row.delivered:
        outcomes[Outcome.DELIVERED] = outcomes.get(Outcome.DELIVERED, 0) + row.delivered
    if row.failures:
        for outcome, count in _failures.decode(row.failures).items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    for state, name in _ENDED:
        if count := getattr(row, name):
            ended[state] = ended.get(state, 0) + count
    add_encoded(figures.latency, row.latency)


def add_traffic(figures: Figures, row: SqlRow) -> None:
    """Add the columns OF_TRAFFIC of a row."""
    add_attempts(figures, row)
    figures.accepted += row.accepted
    add_encoded(figures.first_delay, row.first_delay)


def selected(table: sa.Table, names: Iterable[str]) -> Sequence[sa.Column[object]]:
    """Return these columns of a table."""
    return [table.c[name] for name in names]
