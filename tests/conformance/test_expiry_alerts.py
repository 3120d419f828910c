"""Alerts before tokens expire: in time, once each, the same on SQLite and PostgreSQL."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import sqlalchemy as sa

from schemas.times import UnixMs, to_rfc3339
from schemas.tokens.tokens import Token
from store.engine.database import Database
from store.tables import alerts
from store.tokens.expiry_alerts import alert_expiring
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.locks import has_waiting_locks
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import wait_for

MADE = UnixMs(1_764_000_000_000)
DAY_MS = 86_400_000
END = UnixMs(MADE + 100 * DAY_MS)


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, Vault(["a-key-for-tests-" * 2]))


@pytest.fixture
def token(tokens: Tokens) -> Token:
    """It lives for a hundred days."""
    return made(tokens, END)


def made(tokens: Tokens, expires_at: int | None) -> Token:
    fields = dataclasses.replace(token_fields("ACME CRM"), expires_at=expires_at)
    return tokens.create(fields, {}, MADE, TESTER).token


def move_end(tokens: Tokens, token: Token, expires_at: int | None) -> None:
    tokens.change(
        token.id, lambda fields: dataclasses.replace(fields, expires_at=expires_at), TESTER
    )


def look(database: Database, days_before: float, end: int = END) -> list[int]:
    """The moments that are reported so long before the end."""
    with database.write() as connection:
        known = connection.scalar(sa.select(sa.func.count()).select_from(alerts)) or 0
        count = alert_expiring(connection, UnixMs(end - int(days_before * DAY_MS)))
        bodies = list(connection.execute(sa.select(alerts.c.body).order_by(alerts.c.id)).scalars())[
            known:
        ]
    assert count == len(bodies)
    return [msgspec.json.decode(body)["data"]["days"] for body in bodies]


def test_an_end_is_alerted_fourteen_seven_and_one_day_before(
    database: Database, token: Token
) -> None:
    """Once each, however often it is looked at."""
    reported = {
        days: look(database, days)
        for days in (14.001, 14, 13.999, 7.001, 7, 6, 1.001, 1, 0.5, 0.001, 0, -1)
    }

    assert {days: found for days, found in reported.items() if found} == {14: [14], 7: [7], 1: [1]}
    with database.read() as connection:
        first = msgspec.json.decode(
            connection.scalar(sa.select(alerts.c.body).order_by(alerts.c.id))
        )
    assert first["type"] == "token.expiring"
    assert first["data"] == {
        "token": {"id": token.id, "name": "ACME CRM"},
        "expires_at": to_rfc3339(END),
        "days": 14,
    }


@pytest.mark.usefixtures("token")
def test_a_missed_moment_is_alerted_late(database: Database) -> None:
    """All dispatchers were away: the last moment that came is what counts, not each of them."""
    assert look(database, 5) == [7]
    assert look(database, 0.5) == [1]


@pytest.mark.usefixtures("token")
def test_an_end_that_has_passed_is_no_news(database: Database) -> None:
    """It came and went while no process checked."""
    assert look(database, 0) == []


def test_a_short_life_is_no_surprise(database: Database, tokens: Tokens) -> None:
    """Who makes a token for three days knows that it ends; a day before may have slipped their
    mind.
    """
    end = made(tokens, MADE + 3 * DAY_MS).expires_at or 0

    assert {days: look(database, days, end) for days in (3, 2, 1)} == {3: [], 2: [], 1: [1]}


def test_an_end_that_is_moved_is_alerted_again(
    database: Database, tokens: Tokens, token: Token
) -> None:
    """It was reported for the old one."""
    assert look(database, 14) == [14]
    later = END + 100 * DAY_MS
    move_end(tokens, token, later)

    assert look(database, 50, later) == []
    assert look(database, 14, later) == [14]
    assert look(database, 1, later) == [1]
    move_end(tokens, token, later + 5 * DAY_MS)
    assert look(database, 6, later + 5 * DAY_MS) == [7]


def test_an_end_that_is_taken_away_and_given_again_is_alerted_again(
    database: Database, tokens: Tokens, token: Token
) -> None:
    """Meanwhile it had none."""
    assert look(database, 14) == [14]
    move_end(tokens, token, None)
    assert look(database, 14) == []
    move_end(tokens, token, END)

    assert look(database, 14) == [14]


def test_a_revoked_token_has_no_end_to_tell(
    database: Database, tokens: Tokens, token: Token
) -> None:
    """It cannot be prolonged."""
    tokens.revoke(token.id, MADE, TESTER)

    assert look(database, 1) == []


def test_two_dispatchers_that_check_at_once_alert_once(shared: Database) -> None:
    """The second finds it reported when the first has committed."""
    made(Tokens(shared, Vault(["a-key-for-tests-" * 2])), END)

    with ThreadPoolExecutor(1) as thread:
        with shared.write() as connection:
            assert alert_expiring(connection, UnixMs(END - DAY_MS)) == 1
            second = thread.submit(tell_at, shared, END - DAY_MS)
            wait_for("the second to wait", lambda: has_waiting_locks(shared))
        assert second.result() == 0


def tell_at(database: Database, now: int) -> int:
    with database.write() as connection:
        return alert_expiring(connection, UnixMs(now))
