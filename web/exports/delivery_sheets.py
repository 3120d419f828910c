"""A token's deliveries as a sheet, newest first. Called by the downloads of its holder."""

from schemas.listings import DeliveryFilter, ListedDelivery
from store.deliveries.listing import every_delivery
from store.engine.database import Database
from web.exports.spreadsheets import Cell, Sheet, moment

_ROWS = 2_000
"""Deliveries that are read in a transaction. More: more memory, and a longer transaction. Fewer:
more statements.
"""

_COLUMNS = (
    "ID", "Event ID", "Event", "State", "Reason", "Created (UTC)", "Next attempt (UTC)", "Status code", "Outcome", "URL", "Test",
)  # fmt: skip


def deliveries_sheet(database: Database, chosen: DeliveryFilter) -> Sheet:
    """Read as it is written."""
    return Sheet("Deliveries", _COLUMNS, map(_cells, every_delivery(database, chosen, _ROWS)))


def _cells(one: ListedDelivery) -> tuple[Cell, ...]:
    attempted = (
        moment(one.created_at),
        moment(one.next_attempt_at),
        one.status_code,
        one.outcome and one.outcome.value,
    )
    return (
        one.id,
        one.event_id,
        one.type.value,
        one.state.value,
        one.reason,
        *attempted,
        one.url,
        "yes" if one.is_test else "no",
    )
