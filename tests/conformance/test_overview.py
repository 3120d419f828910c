"""What the overview asks the store: what is the latest, and which callbacks fail; on SQLite and on
PostgreSQL.
"""

import pytest
import sqlalchemy as sa

from schemas.attention import TroubleState
from schemas.deliveries.callback_health import PLAUSIBLE_PAUSE_MS
from schemas.events.types import EventType
from schemas.figures import HOUR_MS, MINUTE_MS, Figures, Gauges, Step
from schemas.latency_histogram import bucket_of, percentile_bound_ms
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.attention.failing import failing_callbacks
from store.engine.database import Database
from store.events import claims
from store.figures.rows import columns_of_traffic
from store.figures.samples import add_sample
from store.stats.charted import charted
from store.stats.latest import Latest, latest
from store.tables import callbacks, figure_hours, figure_minutes, tokens
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.making import a_claim
from tests.kit.tokens import TESTER, token_fields

NOW = UnixMs(1_795_262_400_000)


def read(database: Database) -> Latest:
    with database.read() as connection:
        return latest(connection)


def test_what_is_the_latest_is_found(database: Database) -> None:
    """By minute while that is kept, then by hour."""
    assert read(database) == Latest(None, None, has_events=False)

    delivered = {"type": "message.received", "delivered": 3}
    with database.write() as connection:
        connection.execute(sa.insert(figure_hours).values(hour_at=NOW - 99 * HOUR_MS, **delivered))
        add_sample(connection, UnixMs(NOW - MINUTE_MS), Gauges(0, 0, 0, None))
        claims.claim(connection, [a_claim()], NOW)
    assert read(database) == Latest(UnixMs(NOW - 99 * HOUR_MS), UnixMs(NOW - MINUTE_MS), True)

    with database.write() as connection:
        for ago, count in ((7, 1), (3, 2), (0, 0)):
            row = {"minute_at": NOW - ago * MINUTE_MS, "writer": "w", "type": "message.received"}
            connection.execute(sa.insert(figure_minutes).values(row | {"delivered": count}))
    assert read(database).delivered_at == NOW - 3 * MINUTE_MS


@pytest.fixture
def suppliers(database: Database) -> Database:
    made = Tokens(database, Vault(["a-key-for-tests-" * 2]))
    for name in ("well", "failing", "failing longer", "disabled", "throttled", "odd", "off"):
        fields = CallbackFields("https://x.example/", enabled=name != "off")
        made.create(token_fields(name), {EventType.MESSAGE_STATUS: fields}, NOW, TESTER)
    columns: dict[str, dict[str, int]] = {
        "failing": {"failing_since": NOW - 5},
        "failing longer": {"failing_since": NOW - 9},
        "disabled": {"failing_since": NOW - 99, "disabled_at": NOW - 1},
        "throttled": {"throttled_since": NOW - 7, "throttled_until": NOW + 1},
        "odd": {"throttled_since": NOW - 7, "throttled_until": NOW + PLAUSIBLE_PAUSE_MS + 1},
        "off": {"failing_since": NOW - 5},
    }
    with database.write() as connection:
        for name, values in columns.items():
            of_it = sa.select(tokens.c.id).where(tokens.c.name == name).scalar_subquery()
            connection.execute(
                sa.update(callbacks).where(callbacks.c.token_id == of_it).values(values)
            )
    return database


def test_failing_callbacks_are_named_the_worst_first(suppliers: Database) -> None:
    """What a person switched off is left out, and a pause that only a wrong clock can have written."""
    with suppliers.read() as connection:
        found = failing_callbacks(connection, NOW, 9)
        first = failing_callbacks(connection, NOW, 1)

    assert [(one.token_name, one.state, one.since) for one in found] == [
        ("disabled", TroubleState.DISABLED, NOW - 99),
        ("failing", TroubleState.FAILING, NOW - 5),
        ("throttled", TroubleState.THROTTLED, NOW - 7),
        ("failing longer", TroubleState.FAILING, NOW - 9),
    ]
    assert first == found[:1]


def test_a_chart_puts_steps_together(database: Database) -> None:
    """What minutes and hours say is added up, and of what waited the highest counts. A percentile is
    one of all attempts, never made of others. Where nothing counted there is a gap.
    """
    begin = NOW - NOW % (4 * HOUR_MS)
    for hour, (count, took_ms) in enumerate([(99, 10), (1, 2_000), (5, 30)]):
        one = Figures(count, {"delivered": count})
        one.latency = {bucket_of(took_ms): count}
        at, row = begin + hour * HOUR_MS, columns_of_traffic(one)
        table, key = (figure_hours, {"hour_at": at}) if hour < 2 else (
            figure_minutes, {"minute_at": at + 3 * MINUTE_MS, "writer": "w"}
        )  # fmt: skip
        with database.write() as connection:
            connection.execute(sa.insert(table).values(key | row | {"type": "message.status"}))
            add_sample(connection, UnixMs(at), Gauges(hour, 7 - hour, 0, None))
    with database.write() as connection:
        add_sample(connection, UnixMs(begin + 8 * HOUR_MS), Gauges(0, 0, 0, 4))

    with database.read() as connection:
        whole = UnixMs(begin + 12 * HOUR_MS)
        points = charted(
            connection, UnixMs(begin), whole, Step.HOUR, lambda at: UnixMs(at - at % (4 * HOUR_MS))
        )
        (minute,) = charted(
            connection, UnixMs(begin), UnixMs(begin + 1), Step.MINUTE, lambda at: at
        )

    first, second, third = points
    assert first.figures
    assert (first.figures.accepted, first.figures.delivered) == (105, 105)
    assert percentile_bound_ms(first.figures.latency, 0.94) == 11
    assert first.gauges == Gauges(2, 7, 0, None)
    assert (second.start, second.figures, second.gauges) == (begin + 4 * HOUR_MS, None, None)
    assert (third.figures, third.gauges) == (Figures(), Gauges(0, 0, 0, 4))
    assert minute.figures == Figures(), "hours are in no minute"
