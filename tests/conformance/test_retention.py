"""What goes when it is older than the retention, and what stays: on SQLite and on PostgreSQL."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.settlement import Settlement
from schemas.ids import first_request_id, new_request_id
from schemas.times import LATEST, UnixMs, now_ms
from schemas.tokens.fields import CallbackFields
from store import tables
from store.deliveries.settlement import settle
from store.engine.database import Connection, Database
from store.events import claims
from store.maintenance.retention import STATUS_LOCKS, SWEEPS
from store.tokens.callbacks import Callbacks
from tests.kit.making import a_claim, a_delivery, an_attempt
from tests.kit.old_rows import AGE, CUTOFF, NOW, OLD, RECEIVED, VAULT, Attic, callback_of, slices
from tests.kit.tokens import TESTER

OPEN = {"state": "pending", "due_at": NOW - 1, "queued_at": OLD}


@pytest.fixture
def attic(database: Database) -> Attic:
    return Attic(database)


def test_an_old_event_goes_with_its_deliveries_and_attempts(attic: Attic) -> None:
    """What is a millisecond younger stays. The id is forgotten with it: it may come again as a
    new event.
    """
    attic.lay("evt_old", "a" * 16, "b" * 16)
    attic.lay("evt_young", "a" * 16, at=CUTOFF)

    assert attic.sweep() == Counter(events=1, deliveries=2, attempts=2)

    for table in (tables.deliveries, tables.attempts):
        assert attic.ids(table, "event_id") == ["evt_young"]
    with attic.database.write() as connection:
        assert claims.claim(connection, [a_claim("evt_old"), a_claim("evt_young")], NOW).new == {
            "evt_old"
        }


def test_an_event_that_waited_long_at_the_broker_is_kept_from_when_it_was_taken(
    attic: Attic,
) -> None:
    """Its first attempt, which has no row yet, must find it."""
    attic.lay("evt_late", claimed_at=CUTOFF)

    attic.sweep()

    assert attic.ids() == ["evt_late"]


def test_a_test_of_a_callback_goes_by_when_it_was_made(attic: Attic) -> None:
    """It was never taken from a queue."""
    attic.lay("evt_test_1", "a" * 16)
    attic.change(tables.events, "evt_test_1", claimed_at=None)

    attic.sweep()

    assert attic.ids() == []


@pytest.mark.parametrize(
    "columns",
    [
        OPEN,
        OPEN | {"queued_at": CUTOFF},
        OPEN | {"due_at": LATEST},
        {"created_at": CUTOFF},
    ],
    ids=["pending", "recovered lately", "put off for long", "made lately"],
)
def test_what_is_pending_or_young_keeps_its_event_whole(
    attic: Attic, columns: dict[str, object]
) -> None:
    """With the deliveries that were delivered long ago: without their rows a copy of the event
    would send them once more.
    """
    callback_id = callback_of(attic.token())
    attic.lay("evt_1", "b" * 16)
    attic.add_delivery("evt_1", callback_id, **columns)

    assert attic.sweep() == Counter()


def test_an_attempt_that_was_made_lately_or_is_asked_for_keeps_its_event(attic: Attic) -> None:
    """Who made it wants to see what came of it."""
    for event_id in ("evt_tried", "evt_asked", "evt_1"):
        attic.lay(event_id, "a" * 16)
    attic.add_attempt("evt_tried", "a" * 16, CUTOFF)
    attic.add(
        "requested_attempts",
        id="att_1",
        event_id="evt_asked",
        callback_id="a" * 16,
        trigger="manual",
        due_at=1,
    )

    attic.sweep()

    assert attic.ids() == ["evt_asked", "evt_tried"]


@pytest.mark.parametrize("why", ["off", "disabled", "suspended", "kept", "deleted", "revoked"])
def test_what_is_held_goes_when_it_was_held_for_so_long(attic: Attic, why: str) -> None:
    """No one missed it. What is younger, or leased, stays; so does what is left of a deleted
    callback.
    """
    token = attic.token()
    callback_id = callback_of(token)
    attic.lay("evt_old", callback_id, **OPEN)
    attic.lay("evt_recovered", callback_id, **OPEN | {"queued_at": CUTOFF})
    attic.lay("evt_in_hand", callback_id, **OPEN | {"leased": True, "due_at": NOW + 1})
    hold(attic, why, token.id, callback_id)

    attic.sweep()

    assert attic.ids() == ["evt_in_hand", "evt_recovered"]


def hold(attic: Attic, why: str, token_id: str, callback_id: str) -> None:
    """Without what else such a change does to open deliveries: a crash may have left them."""
    changed: dict[str, Any] = {
        "off": {"enabled": False},
        "disabled": {"disabled_at": 7},
        "kept": {"held_before": OLD + 1},
    }
    if why in changed:
        attic.change(tables.callbacks, callback_id, **changed[why])
    elif why == "deleted":
        attic.change(tables.callbacks, callback_id, id="f" * 16)
    else:
        attic.change(
            tables.tokens,
            token_id,
            **{"suspended": {"enabled": False}, "revoked": {"revoked_at": 7}}[why],
        )


def test_what_was_released_is_pending_again(attic: Attic) -> None:
    """Its age counts from its release."""
    callback_id = callback_of(attic.token())
    attic.lay("evt_1", callback_id, **OPEN | {"queued_at": OLD})
    attic.change(tables.callbacks, callback_id, held_before=OLD)

    attic.sweep()

    assert attic.ids() == ["evt_1"]


def test_what_goes_at_once_is_bounded_and_what_stays_is_passed_over(attic: Attic) -> None:
    """In deliveries, as an event may have many; one that has more than a slice goes alone, and
    whole.
    """
    callback_id = callback_of(attic.token())
    for number in range(8):
        attic.lay(
            f"evt_{number}",
            *([callback_id] if number % 2 else [f"{n:016}" for n in range(2)]),
            **OPEN if number % 2 else {},
        )
    attic.lay("evt_many", *(f"{n:016}" for n in range(5)))

    removed = slices(attic.database, SWEEPS[0], 3)

    assert [one["deliveries"] for one in removed] == [2, 2, 2, 2, 5]
    assert attic.ids() == ["evt_1", "evt_3", "evt_5", "evt_7"]


def test_a_late_outcome_of_what_is_gone_leaves_nothing_for_long(attic: Attic) -> None:
    """It is written, as its dispatcher cannot know; with no event to send, it goes at the next
    sweep.
    """
    delivery = a_delivery("evt_1", lease=4)
    with attic.database.write() as connection:
        settle(
            connection,
            [Settlement(delivery, DeliveryState.PENDING, due_in_s=1, attempt=an_attempt())],
            NOW,
        )
        connection.execute(sa.update(tables.attempts).values(started_at=OLD))

    assert attic.sweep() == Counter(deliveries=1, attempts=1)


def test_what_is_left_of_an_old_event_is_not_taken_for_a_new_ones(attic: Attic) -> None:
    """An id that was forgotten may be used again at that moment."""
    leftovers = next(sweep for sweep in SWEEPS if sweep.name == "leftovers")
    attic.add_delivery("evt_1", "a" * 16)
    with attic.database.read() as connection:
        look = leftovers.scan(connection, AGE, None, 3)
    attic.lay("evt_1", at=NOW)

    with attic.database.write() as connection:
        removed = leftovers.remove(connection, AGE, look.expired)

    assert (len(look.expired), removed.total()) == (1, 0)


def test_the_request_log_goes_by_its_ids(attic: Attic) -> None:
    """They tell when a row was made; those that only a report of a status made go too."""
    ids = [
        f"{first_request_id(at)}{number:020}"
        for number, at in enumerate((OLD, OLD, OLD, OLD, CUTOFF))
    ]
    for request_id in ids:
        attic.add(
            "requests", id=request_id, at=1, token_id=None if request_id == ids[0] else "tok_1"
        )

    assert attic.sweep() == Counter(requests=4)

    assert attic.ids(tables.requests) == ids[4:]


def test_the_first_id_of_a_moment_is_below_those_made_then() -> None:
    """Ids and it must agree about how time is spelled."""
    before = now_ms()
    made = new_request_id()

    assert first_request_id(before) < made < first_request_id(now_ms() + 1)


def test_the_operation_log_goes_by_its_age(attic: Attic) -> None:
    """In the order in which it was written."""
    for at in (OLD, OLD, OLD, OLD, CUTOFF, NOW):
        attic.add("audit_log", token_id="tok_1", at=at, action="changed", by="tok_2", details="{}")

    assert attic.sweep() == Counter(audit_log=4)

    assert attic.ids(tables.audit_log, "at") == [CUTOFF, NOW]


def test_the_log_about_people_goes_by_its_age(attic: Attic) -> None:
    """As the operation log does; the people stay."""
    attic.add("people", email="ann@example.com", role="admin", created_at=OLD)
    for at in (OLD, OLD, CUTOFF, NOW):
        attic.add(
            "people_log", email="ann@example.com", at=at, action="added", by="x", details="{}"
        )

    assert attic.sweep() == Counter(people_log=2)

    assert attic.ids(tables.people_log, "at") == [CUTOFF, NOW]
    assert attic.ids(tables.people, "email") == ["ann@example.com"]


def test_recoveries_go_when_they_are_over_and_old(attic: Attic) -> None:
    """One that runs for long is not forgotten."""
    figures = {"query": "{}", "total": 0, "done": 0, "skipped": 0}
    for state, worked_at in (("running", OLD), ("done", OLD), ("cancelled", OLD), ("done", CUTOFF)):
        attic.add(
            "recoveries",
            id=f"{state} {worked_at}",
            state=state,
            created_at=OLD,
            worked_at=worked_at,
            **figures,
        )

    attic.sweep()

    assert attic.ids(tables.recoveries) == [f"done {CUTOFF}", f"running {OLD}"]


def test_status_locks_go_when_no_status_has_used_them_for_long(attic: Attic) -> None:
    """But not while one is held, or a status is open that must find what was sent before it."""
    for message_id in ("msg_old_1", "msg_old_2", "msg_waiting"):
        attic.add_place("a" * 16, message_id)
    attic.add_place("a" * 16, "msg_held", holder="evt_1:1", held_until=NOW + 1)
    attic.add_place("a" * 16, "msg_young", CUTOFF)
    attic.lay(
        "evt_1",
        "a" * 16,
        at=NOW,
        state="pending",
        due_at=NOW,
        message_id="msg_waiting",
        status="sent",
    )

    assert attic.sweep() == Counter(status_locks=2)

    assert attic.ids(tables.status_locks, "message_id") == ["msg_held", "msg_waiting", "msg_young"]


def test_the_directory_and_what_is_on_its_way_are_left_alone(attic: Attic) -> None:
    """Whatever their age: a revoked token is still shown, and what waits in the outbox is yet to be
    delivered.
    """
    token = attic.token()
    attic.tokens.revoke(token.id, UnixMs(2), TESTER)
    Callbacks(attic.database, VAULT).put(
        attic.token("other").id, RECEIVED, CallbackFields("https://x.example/"), TESTER
    )
    attic.add("outbox", body=b"{}", accepted_at=OLD)
    attic.add("alerts", id="alt_1", body=b"{}", failures=0, due_at=OLD)

    assert attic.sweep() == Counter(audit_log=1), (
        "that it was revoked is in the operation log, which is swept"
    )


def test_every_scan_is_along_an_index(attic: Attic) -> None:
    """It is made every few minutes, and must cost what is found and not what is there."""
    fill(attic.database)

    for text, values in looks(attic.database):
        plan = explain(attic.database, text, values)

        scanned = [
            line.strip()
            for line in plan.splitlines()
            if "SEQ SCAN" in line or ("SCAN" in line and "INDEX" not in line)
        ]
        assert not [line for line in scanned if not any(small in line for small in SMALL)], plan
        assert "TEMP B-TREE" not in plan, plan
        assert " SORT" not in plan, plan


SMALL = ("REQUESTED_ATTEMPTS", "CALLBACKS", "TOKENS", "SCAN CHANGES")
"""Tables that are, and of SQLite's the one that is walked along in the order of its rows."""


def fill(database: Database) -> None:
    """Enough rows, all of them old, and the statistics of them, for the planner to choose as it
    would with a great backlog.
    """
    ids = [f"{number:05}" for number in range(4000)]
    event = {
        "type": RECEIVED.value,
        "timestamp": 1,
        "accepted_at": OLD,
        "via_amqp": False,
        "channel_id": "c",
        "conversation_id": "c",
    }
    event |= {
        "content_hash": b"",
        "conflicts": 0,
        "callbacks": "",
        "body": b"x" * 100,
        "claimed_at": OLD,
    }
    delivery = {
        "callback_id": "a" * 16,
        "token_id": "tok_1",
        "type": RECEIVED.value,
        "state": "delivered",
        "created_at": OLD,
    }
    delivery |= {"leased": False, "lease": 0, "failures": 0}
    attempt = {
        "callback_id": "a" * 16,
        "id": "att_1",
        "number": 1,
        "trigger": "first",
        "started_at": OLD,
        "duration_ms": 3,
    }
    attempt |= {"outcome": "delivered", "request_headers": b"{}", "response_body": b""}
    place = {
        "callback_id": "a" * 16,
        "holder_rank": 0,
        "held_until": 0,
        "sent_rank": 0,
        "done_rank": 0,
        "awaited": False,
    }
    change = {"token_id": "tok_1", "at": OLD, "action": "changed", "by": "tok_2", "details": "{}"}
    done = {"email": "a@x.example", "at": OLD, "action": "added", "by": "tok_2", "details": "{}"}
    with database.write() as connection:
        connection.execute(sa.insert(tables.events), [event | {"id": one} for one in ids])
        connection.execute(
            sa.insert(tables.deliveries), [delivery | {"event_id": one} for one in ids]
        )
        connection.execute(sa.insert(tables.attempts), [attempt | {"event_id": one} for one in ids])
        connection.execute(
            sa.insert(tables.status_locks),
            [place | {"message_id": one, "touched_at": OLD} for one in ids],
        )
        connection.execute(
            sa.insert(tables.requests), [{"id": f"req_{one}", "at": OLD} for one in ids]
        )
        connection.execute(sa.insert(tables.audit_log), [change for _ in ids])
        connection.execute(sa.insert(tables.people_log), [done for _ in ids])
        connection.exec_driver_sql("ANALYZE")


def looks(database: Database) -> list[tuple[str, Any]]:
    """The statements of the looks, as the driver gets them, each from the middle of its walk. Of
    recoveries there are few.
    """
    seen: list[tuple[str, Any]] = []
    walked = [sweep for sweep in (*SWEEPS, STATUS_LOCKS) if sweep.name != "recoveries"]
    with database.read() as connection:
        for sweep in walked:
            middle = sweep.scan(connection, AGE, None, 50).following
            with listening(connection, seen):
                sweep.scan(connection, AGE, middle, 50)
    assert len(seen) == len(walked)
    return seen


@contextmanager
def listening(connection: Connection, seen: list[tuple[str, Any]]) -> Iterator[None]:
    def hear(_connection: object, _cursor: object, text: str, values: Any, *_: object) -> None:
        seen.append((text, values))

    sa.event.listen(connection, "before_cursor_execute", hear)
    yield
    sa.event.remove(connection, "before_cursor_execute", hear)


def explain(database: Database, text: str, values: Any) -> str:
    prefix = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    with database.read() as connection:
        return "\n".join(
            str(row[-1]) for row in connection.exec_driver_sql(prefix + text, values)
        ).upper()
