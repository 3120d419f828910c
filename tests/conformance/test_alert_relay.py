"""The loop that sends operational events: on SQLite and PostgreSQL,
with a fake in place of HTTP.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import sqlalchemy as sa

from consumers.maintenance.alert_relay import AlertRelay
from schemas.alerts import Alert, AlertKind, AlertOutcome
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import NullObserver
from store.engine.database import Database
from store.tables import alerts as rows
from store.tokens import alerts
from tests.kit.waiting import eventually

LEASE_S = 25.0
POLL_S = 0.01
FAILED = AlertOutcome("HTTP 500", retry_in_s=3600)


class Notes(NullObserver):
    """Remembers what was reported to an operator."""

    def __init__(self) -> None:
        self.notes: list[dict[str, object]] = []

    def log(self, event: LogEvent, **fields: object) -> None:
        self.notes.append({"event": event, **fields})


class Operator:
    """Answers each alert by `answer`; remembers them by number."""

    def __init__(self, answer: Callable[[int], AlertOutcome] = lambda _: AlertOutcome()):
        self.got: list[int] = []
        self.answer = answer
        self.answer_at_once: set[int] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, alert: Alert) -> AlertOutcome:
        number = msgspec.json.decode(alert.body)["data"]["number"]
        self.got.append(number)
        if number not in self.answer_at_once:
            await self.open.wait()
        return self.answer(number)


@asynccontextmanager
async def running(
    database: Database,
    operator: Operator | None,
    observer: NullObserver | None = None,
    poll_s: float = POLL_S,
) -> AsyncIterator[AlertRelay]:
    loop = AlertRelay(
        database,
        operator,
        observer=observer or NullObserver(),
        lease_s=LEASE_S,
        poll_s=poll_s,
    )
    loop.start()
    try:
        yield loop
    finally:
        await loop.stop(10)


def tell(database: Database, *numbers: int) -> None:
    with database.write() as connection:
        for number in numbers:
            data = {
                "number": number,
                "token": {"id": "tok_1"},
                "callback": {"type": "message.received", "url": "https://hidden.example/"},
            }
            alerts.add(connection, AlertKind.CALLBACK_FAILING, data, database.now(connection))


def left(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(rows)) or 0


async def test_each_alert_is_sent_once_by_one_of_two(database: Database) -> None:
    """More than fit into one batch, and a dispatcher more than is needed."""
    operator = Operator()
    tell(database, *range(50))

    async with running(database, operator), running(database, operator):
        await eventually("all to be sent", lambda: not left(database))

    assert sorted(operator.got) == list(range(50))


async def test_a_burst_does_not_wait_for_the_next_look(database: Database) -> None:
    """A hundred callbacks that fail together are reported together."""
    operator = Operator()
    tell(database, *range(50))

    async with running(database, operator, poll_s=3600):
        await eventually("all to be sent", lambda: not left(database))


async def test_one_that_fails_is_kept_for_later_and_hinders_no_other(database: Database) -> None:
    """It is said in the log too, without the callback's URL."""
    observer = Notes()
    operator = Operator(lambda number: FAILED if number == 0 else AlertOutcome())
    tell(database, *range(10))

    async with running(database, operator, observer):
        await eventually("the others to be sent", lambda: left(database) == 1)
        await eventually("the failure to be written", lambda: failures(database) == [1])

    (note,) = [note for note in observer.notes if note["event"] == LogEvent.ALERT_FAILED]
    alert_id = note.pop("alert_id")
    assert str(alert_id).startswith("alt_")
    assert note == {
        "event": LogEvent.ALERT_FAILED,
        "kind": "callback.failing",
        "token_id": "tok_1",
        "type": "message.received",
        "error": "HTTP 500",
        "next_attempt_in_s": 3600,
    }


def failures(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(sa.select(rows.c.failures)).scalars())


async def test_one_whose_schedule_has_ended_is_given_up(database: Database) -> None:
    """The log says so."""
    observer = Notes()
    tell(database, 1)

    async with running(database, Operator(lambda _: AlertOutcome("HTTP 500", None)), observer):
        await eventually("it to be forgotten", lambda: not left(database))

    assert [(note["event"], note["next_attempt_in_s"]) for note in observer.notes] == [
        (LogEvent.ALERT_FAILED, None)
    ]


async def test_without_an_address_alerts_are_logged_and_forgotten(database: Database) -> None:
    """They must not gather in an installation that never asked for them."""
    observer = Notes()
    tell(database, 1)

    async with running(database, None, observer):
        await eventually("it to be forgotten", lambda: not left(database))

    assert [(note["event"], note["kind"], note["token_id"]) for note in observer.notes] == [
        ("alert", "callback.failing", "tok_1")
    ]


async def test_a_stop_waits_for_what_is_in_flight(database: Database) -> None:
    """Otherwise its lease would end first, and the operator hear it twice."""
    operator = Operator()
    operator.open.clear()
    tell(database, 1)
    async with running(database, operator) as loop:
        await eventually("it to be sent", lambda: operator.got)

        stopping = asyncio.create_task(loop.stop(10))
        await asyncio.sleep(0)
        operator.open.set()
        await stopping

    assert left(database) == 0


async def test_a_stop_waits_for_the_others_of_one_that_went_wrong(database: Database) -> None:
    """What one alert raises must not make the loop forget those that are under way."""
    operator, observer = Operator(mistaken), Notes()
    operator.open.clear()
    operator.answer_at_once = {0}
    tell(database, 0, 1)
    async with running(database, operator, observer) as loop:
        await eventually("both to be sent", lambda: len(operator.got) == 2)

        stopping = asyncio.create_task(loop.stop(10))
        await asyncio.sleep(0)
        operator.open.set()
        await stopping

    assert left(database) == 1
    assert [note["event"] for note in observer.notes] == [
        LogEvent.ALERT_DELIVERED,
        LogEvent.INTERNAL_ERROR,
    ]


def mistaken(number: int) -> AlertOutcome:
    """The first fails with an internal error."""
    if number == 0:
        raise ZeroDivisionError
    return AlertOutcome()


async def test_an_internal_error_is_noted_and_the_rest_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatcher that ended of it would deliver nothing any more, for the sake of an alert."""
    monkeypatch.setattr("consumers.loop.ERROR_PAUSE_S", POLL_S)
    observer = Notes()
    operator = Operator(mistaken)
    tell(database, 0, 1)

    async with running(database, operator, observer):
        await eventually(
            "the mistake to be noted",
            lambda: [n for n in observer.notes if n["event"] == LogEvent.INTERNAL_ERROR],
        )
        tell(database, 2)
        await eventually("the next to be sent", lambda: 2 in operator.got)

    assert 1 in operator.got


async def test_a_store_that_is_away_is_awaited(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word: the loops that deliver have said it."""
    observer, operator = Notes(), Operator()
    away = [True] * 3
    original = alerts.lease

    def take(*arguments: object) -> list[Alert]:
        if away:
            away.pop()
            raise StoreUnavailable("away")
        return original(*arguments)

    monkeypatch.setattr(alerts, "lease", take)
    tell(database, 1)

    async with running(database, operator, observer):
        await eventually("it to be sent", lambda: not left(database))

    assert [note["event"] for note in observer.notes] == [LogEvent.ALERT_DELIVERED]
