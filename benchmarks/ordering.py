"""What the order of statuses costs (docs/invariants.md#statuses-never-go-backwards): claims and
settlements in the store, of statuses and of events of another type.

The floor is `message.received`, which needs no lock. Only the store is measured: nothing is sent.
"""

import json
import statistics
import time
from collections.abc import Iterator

import sqlalchemy as sa

from benchmarks.comparison import Row
from benchmarks.stage import Stage
from schemas.deliveries.deliveries import Attempt, Delivery, DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.events.events import Event, parse_event
from schemas.ids import CallbackId, TokenId, new_attempt_id
from schemas.times import UnixMs
from store.deliveries.settlement import settle
from store.deliveries.status_gate import admit
from store.engine.database import Database
from store.events.claims import Claim, claim
from store.tables import deliveries, metadata

_CALLBACK, _TOKEN = CallbackId("a" * 16), TokenId("tok_1")
_CHANNEL = {"id": "chn_1", "kind": "whatsapp"}
_NOW = UnixMs(1_000_000)
_LEASE_MS = 25_000
_ROUNDS = 5


def statuses(stage: Stage) -> list[Row]:
    """Measure microseconds of a claim and a settlement per event: one at a time, as when it is
    quiet, and by the hundred, as under load.
    """
    rows: list[Row] = []
    for name, url in (
        ("PostgreSQL", stage.postgres.fresh_database()),
        ("SQLite", f"sqlite:///{stage.folder}/statuses.db"),
    ):
        database = Database(url)
        metadata.create_all(database.engine)
        for size, batches in ((1, stage.size(300, 40)), (100, stage.size(30, 6))):
            others, alone, behind = _in_turn(database, size, batches)
            rows.append(
                Row("statuses", f"claim + settle by {size}, µs/status, {name}", alone, others)
            )
            rows.append(
                Row(
                    "statuses",
                    f"the same, each behind the one before, µs/status, {name}",
                    behind,
                    others,
                )
            )
        database.close()
    return rows


def _in_turn(database: Database, size: int, batches: int) -> tuple[float, float, float]:
    """Return medians of other events, of statuses of as many messages, and of pairs of which the
    second waits for the first.
    """
    rounds: list[tuple[float, float, float]] = []
    for round_number in range(_ROUNDS):
        name = f"{size}-{round_number}"
        others = [[_received(f"o{name}-{b}-{n}") for n in range(size)] for b in range(batches)]
        alone = [
            [_status(f"a{name}-{b}-{n}", f"a{name}-{b}-{n}", "sent") for n in range(size)]
            for b in range(batches)
        ]
        rounds.append(
            (
                _time(database, others),
                _time(database, alone),
                _time_pairs(database, name, size, max(1, batches // 4)),
            )
        )
    first, second, third = zip(*rounds, strict=True)
    return statistics.median(first), statistics.median(second), statistics.median(third)


def _time(database: Database, batches: list[list[Event]]) -> float:
    """Return microseconds per event; all of them may go immediately."""
    began = time.perf_counter()
    for batch in batches:
        _settle(database, _claim(database, batch, len(batch)))
    return (time.perf_counter() - began) / sum(map(len, batches)) * 1e6


def _time_pairs(database: Database, name: str, size: int, batches: int) -> float:
    """Return microseconds per event of pairs. The second becomes a row that waits, is made due by
    the end of the first, leased and settled.
    """
    spent_s = 0.0
    for batch in range(batches):
        messages = [f"p{name}-{batch}-{n}" for n in range(size)]
        first, second = (
            [_status(f"{m}-{status}", m, status) for m in messages] for status in ("sent", "read")
        )
        began = time.perf_counter()
        going = _claim(database, first, size)
        _claim(database, second, 0)
        _settle(database, going)
        _settle(database, list(_lease(database, second)))
        spent_s += time.perf_counter() - began
    return spent_s / (2 * size * batches) * 1e6


def _claim(database: Database, events: list[Event], expected: int) -> list[Delivery]:
    with database.write() as connection:
        claim(
            connection,
            [Claim(event, _NOW, False, (_CALLBACK,), event.webhook_body(_NOW)) for event in events],
            _NOW,
        )
        going = admit(connection, [_delivery(event) for event in events], _NOW, _LEASE_MS).go
    if len(going) != expected:
        raise RuntimeError(
            f"{len(going)} of {len(events)} may go, not {expected}: something else is measured"
        )
    return going


def _settle(database: Database, done: list[Delivery]) -> None:
    with database.write() as connection:
        settle(
            connection,
            [
                Settlement(delivery, DeliveryState.DELIVERED, attempt=_attempt())
                for delivery in done
            ],
            _NOW,
        )


def _lease(database: Database, events: list[Event]) -> Iterator[Delivery]:
    """Yield what may go, by as much of a lease as concerns the order."""
    ids = [event.id for event in events]
    with database.write() as connection:
        leased = {"leased": True, "lease": deliveries.c.lease + 1, "due_at": _NOW + _LEASE_MS}
        woken = sa.and_(deliveries.c.event_id.in_(ids), deliveries.c.due_at <= _NOW)
        leased_ids = connection.scalars(
            sa.update(deliveries).where(woken).values(leased).returning(deliveries.c.event_id)
        ).all()
        going = admit(
            connection,
            [_delivery(event, lease=1) for event in events if event.id in leased_ids],
            _NOW,
            _LEASE_MS,
        ).go
    if len(going) != len(events):
        raise RuntimeError("not all that waited were made due: something else is measured")
    yield from going


def _received(event_id: str) -> Event:
    message = {
        "id": "msg",
        "conversation_id": "cnv",
        "content": {"type": "text", "text": "x" * 400},
    }
    return _event(
        event_id,
        "message.received",
        {"message": message, "channel": _CHANNEL, "customer": {"id": "cus"}},
    )


def _status(event_id: str, message_id: str, status: str) -> Event:
    message = {"id": message_id, "conversation_id": "cnv", "client_reference": "x" * 400}
    return _event(
        event_id, "message.status", {"message": message, "status": status, "channel": _CHANNEL}
    )


def _event(event_id: str, event_type: str, data: object) -> Event:
    return parse_event(
        json.dumps({"id": event_id, "type": event_type, "data": data}).encode(), id_required=True
    )


def _delivery(event: Event, lease: int = 0) -> Delivery:
    facts = event.facts
    return Delivery(
        event.id,
        _CALLBACK,
        _TOKEN,
        event.type,
        facts.conversation_id,
        facts.channel_id,
        b"",
        _NOW,
        _NOW,
        _NOW,
        message_id=facts.message_id if facts.status else None,
        status=facts.status,
        lease=lease,
    )


def _attempt() -> Attempt:
    return Attempt(
        new_attempt_id(),
        1,
        Trigger.FIRST,
        _NOW,
        1,
        Outcome.DELIVERED,
        200,
        None,
        {"webhook-id": "x"},
        b"ok",
    )
