"""A token's deliveries as a sheet, newest first. Called by the downloads of a token's owner."""

from schemas.listings import DeliveryFilter, ListedDelivery
from schemas.tokens.masking import masked_url
from store.deliveries.listing import every_delivery
from store.engine.database import Database
from web.exports.spreadsheets import Cell, Sheet, moment

_FIRST_ROWS, _READ_ROWS = 10, 250
"""Deliveries read per transaction. More: longer transactions, and more memory for each download
that waits. Fewer: more statements. The first are few, as they are read before the answer begins.
"""

_COLUMNS = (
    "ID", "Event ID", "Event", "State", "Reason", "Created (UTC)", "Next attempt (UTC)",
    "Status code", "Outcome", "URL", "Test",
)  # fmt: skip


def deliveries_sheet(database: Database, selected: DeliveryFilter) -> Sheet:
    """Return a sheet whose rows are read while it is written."""
    rows = every_delivery(database, selected, _READ_ROWS, _FIRST_ROWS)
    return Sheet("Deliveries", _COLUMNS, map(_cells, rows))


def _cells(delivery: ListedDelivery) -> tuple[Cell, ...]:
    return (
        delivery.id,
        delivery.event_id,
        delivery.type.value,
        delivery.state.value,
        delivery.reason,
        moment(delivery.created_at),
        moment(delivery.next_attempt_at),
        delivery.status_code,
        delivery.outcome and delivery.outcome.value,
        delivery.url and masked_url(delivery.url),
        "yes" if delivery.is_test else "no",
    )
