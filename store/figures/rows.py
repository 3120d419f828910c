"""Rows of figures: what a row says, and how it is written. Called by everything that writes or
reads figures.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Outcome
from schemas.figures import UNSUCCESSFUL, Figures
from schemas.latency_histogram import add_encoded, encoded
from store.engine import bulk
from store.tables import figure_minutes

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

REPLACE_MINUTES = bulk.Upsert((*OF_TRAFFIC, "written_at"))
"""Gives a minute's row new figures."""

REPLACE_TRAFFIC = bulk.Upsert(OF_TRAFFIC)
"""Gives an hour's row, or that of a merged minute, new figures."""

REPLACE_ATTEMPTS = bulk.Upsert(OF_ATTEMPTS)
"""Gives a row of a callback new figures."""

UNMERGED_MINUTES = figure_minutes.c.writer != sa.literal_column("''")
"""The condition that a minute is not merged, as a partial index has it: it is in no hour yet."""

_DELIVERED = Outcome.DELIVERED.value

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


def add_attempts(figures: Figures, values: Sequence[Any]) -> None:
    """Add what a row says, given as the values of OF_ATTEMPTS. By position: thousands are read for
    a chart.
    """
    delivered, _, failures, latency, *ends = values
    outcomes = figures.outcomes
    if delivered:
        outcomes[_DELIVERED] = outcomes.get(_DELIVERED, 0) + delivered
    if failures:
        for outcome, count in _failures.decode(failures).items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    if any(ends):
        for state, count in zip(UNSUCCESSFUL, ends, strict=True):
            if count:
                figures.ended[state] = figures.ended.get(state, 0) + count
    add_encoded(figures.latency, latency)


def add_traffic(figures: Figures, values: Sequence[Any]) -> None:
    """Add what a row says, given as the values of OF_TRAFFIC."""
    *of_attempts, first_delay, accepted = values
    add_attempts(figures, of_attempts)
    figures.accepted += accepted
    add_encoded(figures.first_delay, first_delay)


def selected(table: sa.Table, *names: str) -> sa.Select[*tuple[Any, ...]]:
    """Return the query of these columns of a table, in this order."""
    return sa.select(*(table.c[name] for name in names))
