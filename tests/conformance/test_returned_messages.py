"""Messages that the broker gave up, stored again: as what they were, whatever properties they have,
and whatever the database says to their neighbours.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
import sqlalchemy as sa

from exchange.outbox.dead_letters import OutboxDeadLetters
from exchange.outbox.source import OutboxSource
from exchange.port import QueuedMessage
from exchange.rabbit import returned
from exchange.rabbit.admin import declare
from exchange.rabbit.into_outbox import BATCH_BYTES, fitting, row
from exchange.rabbit.publisher import RabbitPublisher
from exchange.rabbit.returned import RabbitReturned
from exchange.topology import DEAD_EXCHANGE, EVENTS_EXCHANGE, REASON_HEADER, RETURNED_EXCHANGE
from schemas.events.events import MAX_EVENT_BYTES, parse_event
from schemas.log_events import LogEvent
from store import tables
from store.engine import bulk
from store.engine.database import Connection, Database
from store.events import outbox
from tests.kit.loop_thread import FromThreads
from tests.kit.making import an_event, message_body
from tests.kit.pipes import RabbitPipe, outgoing
from tests.kit.rabbit import Rabbit
from tests.kit.tables import lay_tables
from tests.kit.waiting import wait_for


@pytest.fixture(params=["sqlite", "postgresql"])
def pipe(request: pytest.FixtureRequest, rabbit: Rabbit, tmp_path: Path) -> Iterator[RabbitPipe]:
    """The broker, all declared, and each database."""
    on_postgres = request.param == "postgresql"
    database = Database(
        request.getfixturevalue("postgres").fresh_database()
        if on_postgres
        else f"sqlite:///{tmp_path}/ringback.db"
    )
    lay_tables(database)
    made = RabbitPipe(rabbit, database)
    declare(rabbit.url)
    yield made
    made.close()


@contextmanager
def policy(rabbit: Rabbit, pattern: str = ".*", **definition: object) -> Iterator[None]:
    """For those queues, those of tests that come later too if it stayed."""
    stated = json.dumps({name.replace("_", "-"): value for name, value in definition.items()})
    rabbit.ctl("set_policy", "of-a-test", pattern, stated, "--apply-to", "queues")
    try:
        yield
    finally:
        rabbit.ctl("clear_policy", "of-a-test")


def publish(rabbit: Rabbit, exchange: str, *bodies: bytes, **properties: Any) -> None:
    """Publish like a backend, with a confirm."""
    with pika.BlockingConnection(pika.URLParameters(rabbit.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish(
                exchange,
                "",
                body,
                pika.BasicProperties(delivery_mode=2, **properties),
                mandatory=True,
            )


@contextmanager
def taking_in(
    pipe: RabbitPipe, reported: Callable[[str], None] = lambda _reason: None
) -> Iterator[FromThreads[RabbitPublisher]]:
    """As in a worker of the API: a publisher, together with what stores returned messages, on one
    event loop.
    """
    made = FromThreads(
        RabbitPublisher(
            pipe.rabbit.url,
            pipe.notes,
            None,
            RabbitReturned(pipe.rabbit.url, pipe.database, pipe.notes, reported),
        )
    )
    made.start()
    wait_for("the publisher is connected", made.connected)
    try:
        yield made
    finally:
        made.close()


def kept(pipe: RabbitPipe) -> list[sa.Row[Any]]:
    """The rows of the outbox, oldest first."""
    with pipe.database.read() as connection:
        return list(connection.execute(sa.select(tables.outbox).order_by(tables.outbox.c.id)))


def taken(database: Database) -> list[QueuedMessage]:
    """The messages as a dispatcher takes them."""
    with database.write() as connection:
        return OutboxSource(database).fetch(connection, 1000)


def directly(body: bytes, message_id: str | None = None) -> QueuedMessage:
    """A message as it comes off the broker when a backend published it there."""
    return QueuedMessage(body, None, message_id, 0, None)


def test_what_a_backend_published_itself_is_distinguished_from_what_the_api_took(
    pipe: RabbitPipe,
) -> None:
    """The one was measured, and completed, by the API; of the other it is unknown when it was
    accepted.
    """
    with policy(pipe.rabbit, message_ttl=300), taking_in(pipe) as publisher:
        publisher.publish(outgoing("evt_api"))
        publish(pipe.rabbit, EVENTS_EXCHANGE, an_event("evt_direct").message())
        wait_for("both to be in the outbox", lambda: len(kept(pipe)) == 2, 40)

    assert {parse_event(one.body).id: one.accepted_at for one in taken(pipe.database)} == {
        "evt_api": 1_000,
        "evt_direct": None,
    }


def test_what_was_just_small_enough_still_is_and_what_was_just_too_large_too(
    database: Database,
) -> None:
    """An id that was a property moves into the body, which must not cost the event; nor may a
    message without room pass because of it.
    """
    fits = with_size(MAX_EVENT_BYTES)
    too_large = with_size(MAX_EVENT_BYTES + 1)

    with database.write() as connection:
        outbox.add(
            connection, [row(directly(fits, "evt_fits")), row(directly(too_large, "evt_large"))]
        )
    first, second = taken(database)

    assert (
        parse_event(
            first.body, message_id=first.message_id, accepted=first.accepted_at is not None
        ).id
        == "evt_fits"
    )
    assert (second.body, second.accepted_at, second.message_id) == (too_large, None, "evt_large")


def with_size(size_bytes: int) -> bytes:
    """An event without an id, of so many bytes."""

    def body(text: str) -> bytes:
        return message_body("evt_x", text).replace(b'"id": "evt_x", ', b"", 1)

    return body("x" * (size_bytes - len(body(""))))


def test_a_dead_letter_keeps_who_published_it_and_its_id_until_it_is_an_event(
    database: Database,
) -> None:
    """After an upgrade it may be one, by the id that was only a property. That holds nothing that
    no column takes.
    """
    letters = OutboxDeadLetters(database)
    with database.write() as connection:
        outbox.add(
            connection, [row(directly(b'{"type":"of tomorrow"}', "evt_\0beside"), "unknown type")]
        )
    (shown,) = letters.peek(1)
    letters.replay(None, lambda: None)
    (again,) = taken(database)
    with database.write() as connection:
        outbox.dead_letter(
            connection,
            again.receipt,  # type: ignore[arg-type]  # a receipt of the outbox is a row's id
            "still none",
        )

    assert (shown.message_id, shown.accepted_at) == ("evt_\ufffdbeside", None)
    assert (again.message_id, again.accepted_at) == ("evt_\ufffdbeside", None)
    assert [(one.message_id, one.accepted_at, one.reason) for one in letters.peek(2)] == [
        ("evt_\ufffdbeside", None, "still none")
    ]


def refuse(database: Database, text: str, *, letters: bool = True) -> None:
    """The outbox takes no body with that text from now on, or none but a dead letter's."""
    where = (
        f"instr(NEW.body, CAST('{text}' AS BLOB)) > 0"
        if database.dialect == "sqlite"
        else f"position('{text}'::bytea IN body) > 0"
    )
    if not letters:
        where = f"({where}) AND {'NEW.' if database.dialect == 'sqlite' else ''}reason IS NULL"
    trigger = (
        f"CREATE TRIGGER refuse BEFORE INSERT ON outbox WHEN {where} BEGIN SELECT "
        "RAISE(ABORT, 'CHECK: refuse'); END"
    )
    with database.write() as connection:
        connection.execute(
            sa.text(
                trigger
                if database.dialect == "sqlite"
                else f"ALTER TABLE outbox ADD CONSTRAINT refuse CHECK (NOT ({where}))"
            )
        )


def test_a_reason_that_cannot_be_stored_stops_nothing(pipe: RabbitPipe) -> None:
    """Any publisher may set that header, to whatever AMQP carries: a letter would come first again
    and again, for ever.
    """
    with policy(pipe.rabbit, message_ttl=300), taking_in(pipe):
        publish(pipe.rabbit, DEAD_EXCHANGE, b"{}", headers={REASON_HEADER: "a\0b" + "c" * 100_000})
        publish(pipe.rabbit, EVENTS_EXCHANGE, an_event("evt_next").message())
        wait_for("both to be in the outbox", lambda: len(kept(pipe)) == 2, 40)

    assert sorted(one.reason or "" for one in kept(pipe)) == ["", "a\ufffdb" + "c" * 997]


def test_what_the_database_refuses_is_a_dead_letter_and_stops_nothing(pipe: RabbitPipe) -> None:
    """It is found among many."""
    refuse(pipe.database, "evt_50", letters=False)
    with taking_in(pipe):
        publish(
            pipe.rabbit,
            RETURNED_EXCHANGE,
            *(an_event(f"evt_{number}").message() for number in range(100)),
        )
        wait_for("all to be in the outbox", lambda: len(kept(pipe)) == 100, 40)

    [letter] = [one for one in kept(pipe) if one.reason is not None]
    assert parse_event(letter.body).id == "evt_50"
    assert letter.reason.startswith("the database refuses this: ")


def test_what_cannot_be_stored_at_all_is_set_aside_and_comes_again(pipe: RabbitPipe) -> None:
    """It is neither lost nor blocks others."""
    refuse(pipe.database, "evt_1")
    with taking_in(pipe):
        publish(
            pipe.rabbit,
            RETURNED_EXCHANGE,
            *(an_event(f"evt_{number}").message() for number in range(3)),
        )
        wait_for("the others to be in the outbox", lambda: len(kept(pipe)) == 2, 40)
        wait_for("it to be reported", lambda: pipe.notes.of(LogEvent.RETURNED_SET_ASIDE))
    with pipe.database.write() as connection:
        connection.execute(
            sa.text(
                "DROP TRIGGER refuse"
                if pipe.database.dialect == "sqlite"
                else "ALTER TABLE outbox DROP CONSTRAINT refuse"
            )
        )
    with taking_in(pipe):
        wait_for("it to be in the outbox", lambda: len(kept(pipe)) == 3, 40)

    assert [parse_event(one.body).id for one in kept(pipe)] == ["evt_0", "evt_2", "evt_1"]


def test_an_internal_error_costs_the_message_that_it_is_about(
    pipe: RabbitPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that takes in would end without a word, and keep to itself what it was sent."""
    add = outbox.add

    def stumbling(connection: Connection, rows: Sequence[bulk.Row]) -> None:
        if any(b"evt_1" in one["body"] and one["reason"] is None for one in rows):
            raise KeyError("a slip")
        add(connection, rows)

    monkeypatch.setattr(outbox, "add", stumbling)
    with taking_in(pipe):
        publish(
            pipe.rabbit,
            RETURNED_EXCHANGE,
            *(an_event(f"evt_{number}").message() for number in range(3)),
        )
        wait_for("all to be in the outbox", lambda: len(kept(pipe)) == 3, 40)

    assert {parse_event(one.body).id: one.reason for one in kept(pipe)} == {
        "evt_0": None,
        "evt_1": "it cannot be stored because of a bug in Ringback: KeyError('a slip')",
        "evt_2": None,
    }


def test_an_internal_error_outside_of_any_message_is_reported_and_survived(
    pipe: RabbitPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was, the next try may get on."""
    slips = [RuntimeError("a slip")]

    def stumbling(message: QueuedMessage, reason: str | None = None) -> bulk.Row:
        if slips:
            raise slips.pop()
        return row(message, reason)

    monkeypatch.setattr(returned, "row", stumbling)
    with taking_in(pipe):
        publish(pipe.rabbit, RETURNED_EXCHANGE, an_event("evt_1").message())
        wait_for("it to be in the outbox", lambda: len(kept(pipe)) == 1, 40)

    assert [one["reason"] for one in pipe.notes.of(LogEvent.RETURNED_WRITE_FAILED)] == ["a slip"]


def test_large_messages_are_stored_a_few_at_a_time(
    pipe: RabbitPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them in one transaction are a quarter of a gigabyte, and the driver holds
    copies.
    """
    add, sizes = outbox.add, []
    returned = RabbitReturned(pipe.rabbit.url, pipe.database, pipe.notes, lambda _reason: None)

    def measuring(connection: Connection, rows: Sequence[bulk.Row]) -> None:
        if not sizes:  # what comes meanwhile could all go together
            wait_for("many to have arrived", lambda: len(returned._source._arrived) > 40)
        sizes.append(sum(len(one["body"]) for one in rows))
        add(connection, rows)

    monkeypatch.setattr(outbox, "add", measuring)
    publish(
        pipe.rabbit,
        RETURNED_EXCHANGE,
        *(an_event(f"evt_{number}", "x" * 250_000).message() for number in range(60)),
    )
    publisher = FromThreads(RabbitPublisher(pipe.rabbit.url, pipe.notes, None, returned))
    publisher.start()
    wait_for("all to be in the outbox", lambda: len(kept(pipe)) == 60, 40)
    publisher.close()

    assert max(sizes) <= BATCH_BYTES
    assert {one.reason for one in kept(pipe)} == {None}


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [([], 0), ([1, 1], 2), ([BATCH_BYTES, 1], 1), ([BATCH_BYTES + 1, 1], 1), ([1, BATCH_BYTES], 1)],
)
def test_as_many_go_together_as_fit(sizes: list[int], fit: int) -> None:
    """One always does, however large."""
    assert fitting([directly(b"x" * size) for size in sizes]) == fit


def test_an_event_with_a_dead_letters_header_is_an_event(pipe: RabbitPipe) -> None:
    """A backend that sends on what was a dead letter may well leave it there. Only where it died
    tells what it was.
    """
    with policy(pipe.rabbit, message_ttl=300), taking_in(pipe):
        publish(
            pipe.rabbit,
            EVENTS_EXCHANGE,
            an_event("evt_event").message(),
            headers={REASON_HEADER: "it was none"},
        )
        publish(
            pipe.rabbit,
            DEAD_EXCHANGE,
            an_event("evt_letter").message(),
            headers={REASON_HEADER: "it is none"},
        )
        wait_for("both to be in the outbox", lambda: len(kept(pipe)) == 2, 40)

    assert {parse_event(one.body).id: one.reason for one in kept(pipe)} == {
        "evt_event": None,
        "evt_letter": "it is none",
    }


@pytest.mark.parametrize(
    "deaths", ["many", [], ["one"], [{"queue": 1, "reason": [b"\xff"]}], {"queue": "ringback.dead"}]
)
def test_what_only_looks_as_if_the_broker_had_given_it_up_is_taken_for_an_event(
    pipe: RabbitPipe, deaths: object
) -> None:
    """Who may publish may write there what he likes; it must stop nothing."""
    with taking_in(pipe):
        publish(
            pipe.rabbit,
            RETURNED_EXCHANGE,
            an_event("evt_1").message(),
            headers={"x-death": deaths, REASON_HEADER: "none"},
        )
        wait_for("it to be in the outbox", lambda: len(kept(pipe)) == 1, 40)

    assert kept(pipe)[0].reason is None


def test_dead_letters_that_expire_say_nothing_about_events(pipe: RabbitPipe) -> None:
    """An administrator may want these cleaned up. Events would go around the broker for ten minutes
    at each, and readiness complain.
    """
    reported: list[str] = []
    with (
        policy(pipe.rabbit, "^ringback\\.dead$", message_ttl=300),
        taking_in(pipe, reported.append),
    ):
        publish(pipe.rabbit, DEAD_EXCHANGE, b"{}", headers={REASON_HEADER: "it is none"})
        wait_for("it to be in the outbox", lambda: kept(pipe), 40)

    assert [one.reason for one in kept(pipe)] == ["it is none"]
    assert reported == []


def test_an_event_that_its_backend_gave_little_time_says_nothing_about_others(
    pipe: RabbitPipe,
) -> None:
    """It is taken in again like any: nothing that a backend published is lost. But there is no
    policy that others would meet.
    """
    reported: list[str] = []
    with taking_in(pipe, reported.append):
        publish(pipe.rabbit, EVENTS_EXCHANGE, an_event("evt_1").message(), expiration="100")
        wait_for("it to be in the outbox", lambda: kept(pipe), 40)

    assert [parse_event(one.body).id for one in kept(pipe)] == ["evt_1"]
    assert reported == []
