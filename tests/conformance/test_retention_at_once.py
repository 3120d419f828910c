"""Retention alongside everything else that runs on the same PostgreSQL: no process waits for long,
and nothing is removed that is being worked on.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from schemas.errors import NotFound
from schemas.ids import CallbackId, EventId, TokenId, delivery_id
from schemas.times import UnixMs
from store import tables
from store.deliveries.requested_attempts import request_retry
from store.engine.database import Database
from store.events import claims
from store.maintenance.retention import STATUS_LOCKS, SWEEPS
from store.recoveries import candidates
from store.recoveries.candidates import Candidate
from tests.kit.locks import has_waiting_locks
from tests.kit.making import a_claim
from tests.kit.old_rows import AGE, NOW, OLD, RECEIVED, Attic, callback_of
from tests.kit.waiting import wait_for

EVENTS = SWEEPS[0]
EXPIRED = [(OLD, "evt_1"), (OLD, "evt_2")]


@pytest.fixture
def attic(shared: Database) -> Attic:
    made = Attic(shared)
    for event_id in ("evt_1", "evt_2"):
        made.lay(event_id, "a" * 16)
    return made


def lost(event_id: str) -> Candidate:
    return Candidate(
        EventId(event_id), CallbackId("a" * 16), TokenId("tok_1"), RECEIVED, UnixMs(OLD), None
    )


def test_two_that_sweep_at_once_do_not_wait_for_each_other(attic: Attic) -> None:
    """A lease may end in the middle of a slice: the second leaves alone what the first
    has locked.
    """
    with attic.database.write() as first:
        assert EVENTS.remove(first, AGE, EXPIRED)["events"] == 2
        with attic.database.write() as second:
            assert EVENTS.remove(second, AGE, EXPIRED).total() == 0

    assert attic.ids() == []


def test_what_is_recovered_at_that_moment_stays(attic: Attic) -> None:
    """Its event is locked: a delivery that is made due needs it."""
    with attic.database.write() as recovering:
        assert candidates.still_stored(recovering, [lost("evt_1")]) == {"evt_1"}
        with attic.database.write() as sweeping:
            EVENTS.remove(sweeping, AGE, EXPIRED)

    assert attic.ids() == ["evt_1"]


def test_what_goes_at_that_moment_is_not_recovered(attic: Attic) -> None:
    """The recovery does not wait: it may have locked what the sweep waits for."""
    with attic.database.write() as sweeping:
        EVENTS.remove(sweeping, AGE, EXPIRED[:1])
        with attic.database.write() as recovering:
            assert candidates.still_stored(recovering, [lost("evt_1"), lost("evt_2")]) == {"evt_2"}


def test_what_was_made_due_before_the_slice_was_locked_stays(attic: Attic) -> None:
    """It is judged again: between a look and a slice others go on."""
    callback_id = callback_of(attic.token())
    with attic.database.read() as connection:
        look = EVENTS.scan(connection, AGE, None, 3)
    attic.add_delivery("evt_1", callback_id, state="pending", due_at=NOW, queued_at=NOW)

    with attic.database.write() as connection:
        removed = EVENTS.remove(connection, AGE, look.expired)

    assert (look.expired, removed["events"], attic.ids()) == (EXPIRED, 1, ["evt_1"])


def test_a_copy_of_what_goes_at_that_moment_makes_no_rows(attic: Attic) -> None:
    """It waits for the slice, and finds no event to make deliveries for."""
    attic.lay("evt_3", at=OLD)
    attic.change(tables.events, "evt_3", callbacks=callback_of(attic.token()))

    with ThreadPoolExecutor(1) as thread:
        with attic.database.write() as sweeping:
            locked = (
                sa.select(tables.events.c.id).where(tables.events.c.id == "evt_3").with_for_update()
            )
            sweeping.execute(locked)
            copy = thread.submit(claim_copy, attic.database)
            wait_for("the copy to wait", lambda: has_waiting_locks(attic.database))
            EVENTS.remove(sweeping, AGE, [(OLD, "evt_3")])
        copy.result()

    assert attic.ids(tables.deliveries, "event_id") == ["evt_1", "evt_2"]


def claim_copy(database: Database) -> None:
    with database.write() as connection:
        claims.claim(connection, [a_claim("evt_3")], NOW)


def test_a_status_lock_that_is_used_at_that_moment_stays(attic: Attic) -> None:
    """Who holds it would free nothing, and what it knew be forgotten."""
    attic.add_place("a" * 16, "msg_1")
    attic.add_place("a" * 16, "msg_2")

    with attic.database.write() as using:
        using.execute(
            sa.update(tables.status_locks)
            .where(tables.status_locks.c.message_id == "msg_1")
            .values(holder="evt_1:1")
        )
        with attic.database.write() as sweeping:
            STATUS_LOCKS.remove(sweeping, AGE, [("a" * 16, "msg_1"), ("a" * 16, "msg_2")])

    assert attic.ids(tables.status_locks, "message_id") == ["msg_1"]


def test_an_attempt_is_not_asked_for_of_what_is_gone(attic: Attic) -> None:
    """It would be taken, and never made, for ever."""
    token = attic.token()
    attic.add_delivery("evt_gone", callback_of(token), token_id=token.id)

    with pytest.raises(NotFound, match="RETENTION"):
        request_retry(
            attic.database, attic.tokens, delivery_id(EventId("evt_gone"), callback_of(token))
        )

    assert attic.ids(tables.requested_attempts) == []
