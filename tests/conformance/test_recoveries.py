"""Recoveries slice by slice, on both databases: what of the exhausted is made due, and what a crash
or a second worker changes.
"""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from consumers.maintenance.recovery_runner import RecoveryRunner
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Recoverable, RecoveryQuery, RecoveryState
from schemas.errors import Invalid
from schemas.events.status_order import rank
from schemas.ids import TokenId, new_test_event_id
from schemas.observer import NullObserver
from schemas.times import UnixMs
from store.recoveries import candidates, jobs
from store.recoveries.missing import stored_events
from store.tables import deliveries, events
from tests.kit.recovering import FOR_EVER, NOW, RECEIVED, STATUS, House, callback_of
from tests.kit.tokens import TESTER

EXHAUSTED, MISSING = Recoverable.EXHAUSTED, Recoverable.MISSING


async def test_what_was_given_up_is_pending_again(house: House) -> None:
    """Its age and its failures count from now, its next attempt is a repair's, and no old outcome
    applies to it.
    """
    callback_id = callback_of(house.token())
    house.lay("evt_1", callback_id)

    assert house.recover(EXHAUSTED) == (1, 1, 0)

    row = house.row("evt_1", callback_id)
    assert (row.state, row.reason, row.failures, row.lease, row.is_recovery, row.is_retry) == (
        "pending",
        None,
        0,
        5,
        True,
        True,
    )
    assert row.queued_at == row.due_at > row.created_at == 1_000
    assert (row.conversation_id, row.leased) == ("cnv_1", False)


async def test_only_what_was_asked_for_is_recovered(house: House) -> None:
    """By token, type, and the time when it was made; its end is exclusive, its beginning is not."""
    one, other = house.token("one"), house.token("other")
    for at in (10, 11, 12):
        house.lay(f"evt_{at}", callback_of(one), at, token_id=one.id)
    house.lay("evt_other", callback_of(other), 11, token_id=other.id)
    house.lay("evt_status", callback_of(one), 11, token_id=one.id, type="message.status")
    house.lay("evt_superseded", callback_of(one), 11, token_id=one.id, state="superseded")

    house.recover(EXHAUSTED, since=UnixMs(11), until=UnixMs(12), token=one.id, type=RECEIVED)

    assert house.due() == {"evt_11"}


async def test_nothing_is_recovered_that_would_not_be_sent(house: House) -> None:
    """It would be cancelled, or held: skipped and counted instead. Once it can be sent, an
    administrator may ask again.
    """
    off, disabled, revoked, expired = (
        house.token(name) for name in ("off", "disabled", "revoked", "expired")
    )
    for token in (off, disabled, revoked, expired, house.token("suspended", enabled=False)):
        house.lay(f"evt_{token.name}", callback_of(token))
    house.lay("evt_deleted", "f" * 16)
    house.change_callback(callback_of(off), enabled=False)
    house.change_callback(callback_of(disabled), disabled_at=7)
    house.change_token(expired, expires_at=NOW)
    house.tokens.revoke(revoked.id, NOW, TESTER)

    assert house.recover(EXHAUSTED) == (6, 0, 6)

    assert house.due() == set()


async def test_what_a_token_may_no_longer_see_is_not_recovered(house: House) -> None:
    """Skipped and counted: what was taken away from it must not come by a repair."""
    seen, unseen = (
        house.token("seen", channels=["chn_1"]),
        house.token("unseen", channels=["chn_2"]),
    )
    for token in (seen, unseen):
        house.lay(f"evt_{token.name}", callback_of(token))

    assert house.recover(EXHAUSTED) == (2, 1, 1)

    assert house.due() == {"evt_seen"}


async def test_what_is_recovered_is_due_in_the_order_in_which_it_was_made(house: House) -> None:
    """A backlog arrives oldest first, whatever its events are called;
    and the due poller is woken.
    """
    callback_id = callback_of(house.token())
    for at, event_id in enumerate(("evt_b", "evt_c", "evt_a"), 1_000):
        house.lay(event_id, callback_id, at)
    rung: list[str] = []
    house.database.subscribe("due", lambda: rung.append("due"))

    house.recover(EXHAUSTED)

    rows = [house.row(event_id, callback_id) for event_id in ("evt_b", "evt_c", "evt_a")]
    assert [(row.due_at, row.sequence) for row in rows] == [
        (rows[0].due_at, sequence) for sequence in range(3)
    ]
    assert rung == (
        ["due"] if house.database.dialect == "sqlite" else []
    )  # PostgreSQL notifies every process


async def test_a_callback_that_fails_just_now_is_no_reason_to_skip(house: House) -> None:
    """Its breaker knows when to try."""
    callback_id = callback_of(house.token())
    house.lay("evt_1", callback_id)
    house.change_callback(callback_id, failing_since=7)

    assert house.recover(EXHAUSTED) == (1, 1, 0)


async def test_a_status_below_one_that_may_have_arrived_is_skipped(house: House) -> None:
    """`sent` after `delivered` would go backwards (docs/invariants.md#statuses-never-go-backwards);
    the same one once more does not.
    """
    callback_id = callback_of(house.token("crm", STATUS), STATUS)
    for status in ("sent", "delivered"):
        house.lay_status(f"evt_{status}", callback_id, status, "msg_1")
    house.lay_status("evt_other", callback_id, "sent", "msg_2")
    house.stand_at(callback_id, "msg_1", done_rank=rank("delivered"))

    assert house.recover(EXHAUSTED) == (3, 2, 1)

    assert house.due() == {"evt_delivered", "evt_other"}
    row = house.row("evt_other", callback_id)
    assert (row.message_id, row.status) == ("msg_2", "sent")


async def test_a_sample_is_not_recovered(house: House) -> None:
    """A test of a callback was for that moment only. A backend's id may begin like
    one all the same.
    """
    sample = new_test_event_id()
    house.lay(sample, callback_of(house.token()))
    house.lay("evt_test_1", callback_of(house.token("other")))

    house.recover(EXHAUSTED, MISSING)

    with house.database.read() as connection:
        found = connection.execute(
            sa.select(deliveries.c.event_id).where(deliveries.c.due_at.is_not(None))
        ).scalars()
        assert set(found) == {"evt_test_1"}


@pytest.mark.parametrize("loss", ["gone", "unreadable"])
async def test_what_cannot_be_sent_any_more_costs_only_itself(house: House, loss: str) -> None:
    """An event that retention took, or that a later version of ours does not take for one."""
    callback_id = callback_of(house.token())
    for number in range(4):
        house.lay(f"evt_{number}", callback_id)
    with house.database.write() as connection:
        this = events.c.id == "evt_1"
        connection.execute(
            sa.delete(events).where(this)
            if loss == "gone"
            else sa.update(events).where(this).values(body=b"{}")
        )

    assert house.recover(EXHAUSTED) == (4, 3, 1)


async def test_asking_twice_sends_nothing_twice(house: House) -> None:
    """This holds at the same time, too: the second request finds what is left."""
    callback_id = callback_of(house.token())
    for number in range(7):
        house.lay(f"evt_{number}", callback_id)
    first, second = house.ask(EXHAUSTED), house.ask(EXHAUSTED)

    house.work()

    done = [house.recovery(one).done for one in (first, second)]
    assert sum(done) == 7
    assert min(done) > 0, "they take turns"
    assert house.recover(EXHAUSTED) == (0, 0, 0)


async def test_a_recovery_goes_on_where_the_last_slice_ended(house: House) -> None:
    """The dispatcher that worked on it is gone: what it did stays done once, and nothing is left
    out.
    """
    callback_id = callback_of(house.token())
    for number in range(8):
        house.lay(f"evt_{number}", callback_id, at=1_000 + number // 4)
    asked = house.ask(EXHAUSTED)
    house.recoverer().work()
    half = house.recovery(asked)
    house.change_delivery(
        "evt_0", callback_id, state="exhausted", due_at=None
    )  # sent and given up again meanwhile

    house.work()

    assert (half.state, half.total, half.done) == (RecoveryState.RUNNING, 8, 3)
    whole = house.recovery(asked)
    assert (whole.state, whole.total, whole.done) == (RecoveryState.DONE, 8, 8)
    assert house.due() == {f"evt_{number}" for number in range(1, 8)}


async def test_a_slice_that_fails_leaves_nothing_of_it(house: House) -> None:
    """What it did, how far it was and the figures are one transaction: a crash in it is as if it
    had not begun.
    """
    callback_id = callback_of(house.token())
    for number in range(3):
        house.lay(f"evt_{number}", callback_id)
    asked = house.ask(EXHAUSTED)

    assert not Crashing(house.database, house.directory, NullObserver(), 3).work()

    assert house.due() == set()
    assert house.recovery(asked).done == 0
    house.work()
    assert house.recovery(asked).done == 3


async def test_a_recovery_can_be_stopped(house: House) -> None:
    """What it made due already is sent, the rest stays as it was; stopping again, or what is done,
    changes nothing.
    """
    callback_id = callback_of(house.token())
    for number in range(6):
        house.lay(f"evt_{number}", callback_id)
    asked = house.ask(EXHAUSTED)
    house.recoverer().work()

    jobs.stop(house.database, asked)
    house.work()

    stopped = house.recovery(asked)
    assert (stopped.state, stopped.done) == (RecoveryState.CANCELLED, 3)
    assert len(house.due()) == 3
    rest = house.ask(EXHAUSTED)
    house.work()
    assert jobs.stop(house.database, rest).state is RecoveryState.DONE
    assert jobs.stop(house.database, asked).state is RecoveryState.CANCELLED


async def test_what_was_made_after_the_asking_is_not_of_it(house: House) -> None:
    """Otherwise a recovery of what fails faster than it is recovered would never end."""
    callback_id = callback_of(house.token())
    asked = house.ask(EXHAUSTED)
    house.lay("evt_later", callback_id, at=FOR_EVER - 1)

    house.work()

    assert house.recovery(asked).total == 0
    assert house.due() == set()


async def test_two_at_work_do_not_wait_for_each_other(house: House) -> None:
    """The row of a job is locked by the dispatcher that works on it, and skipped by the other."""
    if house.database.dialect == "sqlite":
        return  # one writer: there is nothing to pass over
    first, second = house.ask(EXHAUSTED), house.ask(EXHAUSTED)

    with house.database.write() as one, house.database.write() as other:
        taken = [jobs.acquire(connection) for connection in (one, other)]

    assert {job.recovery.id for job in taken if job} == {first, second}


async def test_a_token_that_never_was_is_refused(house: House) -> None:
    """A mistyped id must not recover nothing in silence."""
    with pytest.raises(Invalid, match="no such token"):
        house.ask(EXHAUSTED, token=TokenId("tok_nobody"))


class Crashing(RecoveryRunner):
    """Dies at the end of its first slice."""

    def _slice(self, *args: Any) -> Any:
        super()._slice(*args)
        raise MemoryError


async def test_a_slice_keeps_no_data_of_its_events(house: House) -> None:
    """Five hundred of the largest are more than a dispatcher should hold in addition to what it
    delivers.
    """
    callback_id = callback_of(house.token())
    house.lay("evt_1", callback_id)
    query = RecoveryQuery(since=UnixMs(0), until=FOR_EVER, states=(EXHAUSTED, MISSING))

    with house.database.read() as connection:
        (lost,) = candidates.undelivered(
            connection, query, DeliveryState.EXHAUSTED, None, 9, NOW
        ).found
        (stored,) = stored_events(connection, query, None, 9).found

    for one in (lost, stored):
        assert one.facts is not None
        assert one.facts.conversation_id == "cnv_1"
        assert b"hello" not in msgspec.json.encode(one)
