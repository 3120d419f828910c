"""Figures next to what they were counted from: sums over the tables of figures, and over the
attempts.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import SETTLED, DeliveryState, Outcome
from schemas.deliveries.settlement import Settlement
from schemas.events.types import EventType
from schemas.figures import HOUR_MS, MINUTE_MS, Figures
from schemas.times import UnixMs, now_ms
from store.deliveries.samples import no_test
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.figures.rows import (
    OF_ATTEMPTS,
    OF_TRAFFIC,
    UNMERGED_MINUTES,
    add_attempts,
    add_traffic,
    selected,
)
from store.figures.settled import SETTLED_AFTER_MS, SettledCounts
from store.tables import (
    attempts,
    deliveries,
    events,
    figure_callback_hours,
    figure_hours,
    figure_minutes,
)
from tests.kit.making import a_delivery, an_attempt

CALLBACKS = [f"{number:016x}" for number in range(7)]


def settlements(
    count: int, at: int, *, seed: int = 1, within_ms: int = 120_000
) -> list[Settlement]:
    """First attempts of all types, by seven callbacks, that started in the time up to `at`. Most
    delivered, some are to be retried, some ended without success.
    """
    chance = random.Random(seed)
    made = []
    for number in range(count):
        outcome = chance.choice([Outcome.DELIVERED] * 6 + [Outcome.TIMEOUT, Outcome.HTTP_5XX])
        started_at = at - chance.randrange(within_ms)
        delivery = msgspec.structs.replace(
            a_delivery(f"evt_{seed}_{number}", chance.choice(CALLBACKS)),
            type=chance.choice(list(EventType)),
            accepted_at=UnixMs(started_at - chance.randrange(1, 900)),
            created_at=UnixMs(started_at - chance.randrange(4_000)),
        )
        attempt = msgspec.structs.replace(
            an_attempt(outcome),
            started_at=UnixMs(started_at),
            duration_ms=int(chance.lognormvariate(4, 1.5)),
        )
        made.append(_settlement(delivery, attempt, chance))
    return made


def _settlement(delivery: Any, attempt: Any, chance: random.Random) -> Settlement:
    if attempt.outcome is Outcome.DELIVERED:
        return Settlement(delivery, DeliveryState.DELIVERED, attempt=attempt)
    if chance.random() < 0.3:
        return Settlement(delivery, DeliveryState.EXHAUSTED, "gave up", attempt=attempt, failures=1)
    return Settlement(delivery, DeliveryState.PENDING, due_in_s=60.0, attempt=attempt, failures=1)


def add_events(database: Database, made: Sequence[Settlement]) -> None:
    """The events of these deliveries, as they were claimed."""
    rows = [
        {
            "id": one.delivery.event_id,
            "type": one.delivery.type.value,
            "timestamp": one.delivery.accepted_at,
            "accepted_at": one.delivery.accepted_at,
            "claimed_at": one.delivery.created_at,
            "via_amqp": False,
            "channel_id": "chn_1",
            "conversation_id": "cnv_1",
            "content_hash": b"",
            "conflicts": 0,
            "callbacks": one.delivery.callback_id,
            "body": b"{}",
        }
        for one in made
    ]
    with database.write() as connection:
        connection.execute(sa.insert(events), rows)


def count_live(database: Database, made: Sequence[Settlement]) -> None:
    """As two dispatchers settle and count them."""
    add_events(database, made)
    for own in (made[::2], made[1::2]):
        counts, now = SettledCounts(), now_ms()
        counts.accept(
            Counter(
                (one.delivery.accepted_at // MINUTE_MS * MINUTE_MS, one.delivery.type)
                for one in own
            )
        )
        with database.write() as connection:
            settle(connection, own, now)
            counts.write(connection, own, now)
        counts.committed(now)
        with database.write() as connection:
            hours = counts.flush(connection, now)
        counts.committed(now)
        counts.flushed(hours, now)


def ended_hour(hours_ago: int) -> int:
    """The last moment of an hour that can be rebuilt."""
    now = now_ms() - SETTLED_AFTER_MS
    return now - now % HOUR_MS - hours_ago * HOUR_MS - 1


def of_attempts(database: Database) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """How many attempts there are by type and outcome, and by callback and outcome. No tests."""
    a, d = attempts.c, deliveries.c
    joined = attempts.join(
        deliveries, sa.and_(d.event_id == a.event_id, d.callback_id == a.callback_id)
    )
    counts: list[Counter[tuple[str, str]]] = []
    with database.read() as connection:
        for by in (d.type, a.callback_id):
            rows = connection.execute(
                sa.select(by, a.outcome, sa.func.count())
                .select_from(joined)
                .where(no_test(a.event_id))
                .group_by(by, a.outcome)
            )
            counts.append(Counter({(key, outcome): n for key, outcome, n in rows}))
    return counts[0], counts[1]


def kept(database: Database) -> tuple[dict[str, Figures], dict[str, Figures]]:
    """All figures that are stored, by type and by callback."""
    by_type: dict[str, Figures] = {}
    by_callback: dict[str, Figures] = {}
    with database.read() as connection:
        minutes = selected(figure_minutes, "type", *OF_TRAFFIC).where(UNMERGED_MINUTES)
        for rows in (minutes, selected(figure_hours, "type", *OF_TRAFFIC)):
            for kind, *values in connection.execute(rows):
                add_traffic(by_type.setdefault(kind, Figures()), values)
        rows = selected(figure_callback_hours, "callback_id", *OF_ATTEMPTS)
        for callback_id, *values in connection.execute(rows):
            add_attempts(by_callback.setdefault(callback_id, Figures()), values)
    return by_type, by_callback


def outcomes(figures: dict[str, Figures]) -> Counter[tuple[str, str]]:
    """The attempts of figures, in the form of `of_attempts`."""
    return Counter(
        {
            (key, outcome): count
            for key, one in figures.items()
            for outcome, count in one.outcomes.items()
        }
    )


def ends(figures: dict[str, Figures]) -> Counter[str]:
    """How many deliveries ended without success, by state."""
    sums: Counter[str] = Counter()
    for one in figures.values():
        sums.update({str(state): count for state, count in one.ended.items()})
    return sums


def ended_rows(database: Database) -> Counter[str]:
    """How many deliveries are settled without success, by state. No tests."""
    unsuccessful = [state.value for state in SETTLED - {DeliveryState.DELIVERED}]
    c = deliveries.c
    with database.read() as connection:
        rows = connection.execute(
            sa.select(c.state, sa.func.count().label("n"))
            .where(c.state.in_(unsuccessful), no_test(c.event_id))
            .group_by(c.state)
        )
        return Counter({row.state: row.n for row in rows})
