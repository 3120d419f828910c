"""Making the candidates of a recovery due: rows of what was given up or held are reopened, rows of
what is missing are made. Called by `consumers.maintenance.recovery_runner`.
"""

from collections.abc import Iterable

from schemas.deliveries.deliveries import Move
from schemas.times import UnixMs
from store.deliveries.rows import NewRow, due_row
from store.engine import bulk
from store.engine.database import Connection
from store.recoveries.candidates import Candidate
from store.tables import deliveries, delivery_moves

_COLUMNS = (
    "state",
    "reason",
    "due_at",
    "leased",
    "lease",
    "failures",
    "is_retry",
    "lease_count",
    "is_recovery",
    "sequence",
    "queued_at",
    "conversation_id",
    "message_id",
    "status",
    "awaits_status",
)
_REOPENED = bulk.Upsert(_COLUMNS, where=delivery_moves.permitted(Move.REOPENED, Move.RESTARTED))


def reopen(connection: Connection, candidates: Iterable[Candidate], now: UnixMs) -> None:
    """Make deliveries due now, as if they were new. Their attempts stay on record."""
    bulk.insert(connection, deliveries, _rows(candidates, now), _REOPENED)


def make(connection: Connection, candidates: Iterable[Candidate], now: UnixMs) -> None:
    """Write rows, due now, of deliveries that had none. A row that was written meanwhile stays as
    it is.
    """
    bulk.insert(connection, deliveries, _rows(candidates, now))


def _rows(candidates: Iterable[Candidate], now: UnixMs) -> list[NewRow]:
    """Return the rows in key order, as all bulk writes are
    (docs/invariants.md#one-bad-row-costs-only-itself). They come due in the order given.
    """
    numbered = enumerate(candidates)
    ordered = sorted(numbered, key=lambda pair: (pair[1].event_id, pair[1].callback_id))
    return [_row(candidate, now, sequence) for sequence, candidate in ordered]


def _row(candidate: Candidate, now: UnixMs, sequence: int) -> NewRow:
    """Return the row of a candidate.

    With `is_retry` it shares the slots of retries, so that new events never wait behind a recovery.
    """
    facts = candidate.facts
    assert facts is not None
    row = due_row(
        candidate.event_id,
        candidate.callback_id,
        candidate.token_id,
        candidate.type.value,
        created_at=candidate.created_at,
        due_at=now,
        queue={
            "queued_at": now,
            "sequence": sequence,
            "conversation_id": facts.conversation_id,
            "message_id": facts.message_id if facts.status else None,
            "status": facts.status,
        },
    )
    again = {"is_retry": True, "is_recovery": True, "lease_count": 0, "awaits_status": False}
    return {**row, **again, "lease": candidate.lease + 1}
