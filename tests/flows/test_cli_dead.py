"""`ringback dead`: what was no event is looked at, put back and thrown away; embedded and on
RabbitMQ + PostgreSQL.
"""

import json
from pathlib import Path

import sqlalchemy as sa

from store.engine.database import Database
from tests.flows.conftest import Starting
from tests.flows.test_faults import refuse
from tests.kit.command import Place
from tests.kit.platform import MESSAGE, ids_at, message, wait_for_all
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for


def test_what_the_database_refused_is_put_back_when_it_does_no_longer(
    start: Starting, receiver: Receiver
) -> None:
    """Looked at, put back, delivered: once."""
    ringback = start()
    ringback.token("crm", callbacks={MESSAGE: receiver.url("/ok/crm")})
    refuse(ringback, "evt_refused")
    ringback.publisher.publish(message("refused", id="evt_refused"))
    listed = wait_for(
        "it to be a dead letter", lambda: json.loads(ringback.run("dead", "list", "--json")), 20
    )
    shown = ringback.run("dead", "show", "1")
    take_back_refusal(ringback)

    said = ringback.run("dead", "replay")

    assert [(one["number"], one["reason"][:25]) for one in listed] == [
        (1, "the database refuses this")
    ]
    assert '"ciao refused 👋"' in shown
    assert said == "1 replayed\n"
    wait_for_all(receiver, "/ok/crm", ["evt_refused"])
    assert ids_at(receiver, "/ok/crm") == {"evt_refused": 1}
    assert ringback.run("dead", "replay") == "there are no dead letters\n"


def test_one_of_several_is_thrown_away(start_on_services: Starting) -> None:
    """By its number; those that came around the absent broker are numbered on."""
    ringback = start_on_services(dispatchers=0)
    lay_dead(ringback.database_url, "first", "second")

    listed = ringback.run("dead", "list", "--limit", "10")
    dropped = json.loads(ringback.run("dead", "drop", "1", "--json"))
    refused = ringback.run("dead", "drop", "1", "2", status=1)

    assert listed.index("first") < listed.index("second")
    assert dropped == {"dropped": 1}
    assert refused == "ringback: there is no dead letter 2: there are 1\n"
    assert [one["reason"] for one in json.loads(ringback.run("dead", "list", "--json"))] == [
        "second"
    ]
    assert ringback.run("dead", "drop") == "1 dropped\n"


def test_a_dead_letter_is_named_by_its_mark_and_another_at_its_number_is_refused(
    tmp_path: Path,
) -> None:
    """Between `show` and `drop` dead letters come and go: what is thrown away for good is what was
    looked at.
    """
    place = Place(
        tmp_path, SECRET_KEY="0123456789abcdef", DATABASE_URL=f"sqlite:///{tmp_path}/ringback.db"
    )
    place.call("migrate")
    lay_dead(f"sqlite:///{tmp_path}/ringback.db", "first", "second", "third")
    marks = [one["mark"] for one in place.call("dead", "list", "--json").json]
    names = [f"{number}:{mark[:4]}" for number, mark in enumerate(marks, 1)]
    listed = place.call("dead", "list").out

    place.call("dead", "drop", names[0])
    moved = place.call("dead", "drop", names[1])
    shown = place.call("dead", "show", marks[2])
    dropped = place.call("dead", "drop", marks[1][:8])
    unknown = place.call("dead", "replay", "0" * 64)
    nonsense = place.call("dead", "drop", "second")

    assert all(name in listed for name in names)
    assert (moved.status, moved.err) == (
        1,
        (
            f"ringback: dead letter 2 is no longer {names[1]}: letters came or went since it was "
            "listed. See `ringback dead list`\n"
        ),
    )
    assert "third" in shown.out
    assert f"2:{marks[2][:4]}" in shown.out
    assert dropped.out == "1 dropped\n"
    assert (unknown.status, nonsense.status) == (1, 2)
    assert [one["reason"] for one in place.call("dead", "list", "--json").json] == ["third"]


def test_what_others_sent_does_not_steer_the_terminal(start_embedded: Starting) -> None:
    """A dead letter may be anything that was sent."""
    ringback = start_embedded()
    lay_dead(ringback.database_url, "\x1b[2Jgone")

    assert "\x1b" not in ringback.run("dead", "list")
    assert "\\x1b]0;x\\x07" in ringback.run("dead", "show", "1")


def test_a_broker_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    """A number that does not exist is one too."""
    place = Place(tmp_path, SECRET_KEY="0123456789abcdef")
    place.call("migrate")
    nothing = place.call("dead", "show", "1")
    place.set(BROKER_URL="amqp://guest:hidden@127.0.0.1:1/")

    away = place.call("dead", "list")

    assert (nothing.status, nothing.err) == (1, "ringback: there are no dead letters\n")
    assert (away.status, away.err.count("\n")) == (1, 1)
    assert away.err.startswith("ringback: cannot reach the broker")
    assert "hidden" not in away.err


def lay_dead(database_url: str, *reasons: str) -> None:
    """Rows of the outbox that are no events."""
    database = Database(database_url)
    statement = sa.text(
        "INSERT INTO outbox (body, accepted_at, reason) VALUES (:body, 1000, :reason)"
    )
    with database.write() as connection:
        connection.execute(
            statement, [{"body": b"\x1b]0;x\x07", "reason": reason} for reason in reasons]
        )
    database.close()


def take_back_refusal(ringback: Ringback) -> None:
    database = Database(ringback.database_url)
    with database.write() as connection:
        postgres = database.dialect == "postgresql"
        connection.execute(
            sa.text(
                "ALTER TABLE events DROP CONSTRAINT refuse" if postgres else "DROP TRIGGER refuse"
            )
        )
    database.close()
