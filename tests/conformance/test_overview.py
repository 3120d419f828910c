"""What the overview asks the store: what is the latest, and which callbacks fail; on SQLite and on
PostgreSQL.
"""

import pytest
import sqlalchemy as sa

from schemas.attention import TroubleState
from schemas.deliveries.callback_health import PLAUSIBLE_PAUSE_MS
from schemas.events.types import EventType
from schemas.figures import HOUR_MS, MINUTE_MS, Gauges
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.attention.failing import failing_callbacks
from store.engine.database import Database
from store.events import claims
from store.figures.samples import add_sample
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
