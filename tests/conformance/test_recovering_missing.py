"""Recovering what is held, and what no callback was subscribed to, on both databases."""

import itertools

import pytest

from schemas.deliveries.recoveries import Recoverable
from schemas.events.status_order import rank
from schemas.times import LATEST, UnixMs
from tests.kit.making import a_claim
from tests.kit.recovering import NOW, RECEIVED, STATUS, House, a_status_claim, callback_of

EXHAUSTED, HELD, MISSING = Recoverable.EXHAUSTED, Recoverable.HELD, Recoverable.MISSING


async def test_what_is_held_of_a_callback_that_is_back_is_released(house: House) -> None:
    """It came back with `keep`: its age begins again, and so it is no longer held. Deliveries of a
    callback that is off, and those in flight, are skipped.
    """
    back, off = callback_of(house.token("back")), callback_of(house.token("off"))
    held = {"state": "pending", "due_at": LATEST, "queued_at": 1_000, "reason": None}
    house.lay("evt_held", back, **held)
    house.lay("evt_flying", back, **held | {"leased": True})
    house.lay("evt_pending", back, **held | {"queued_at": 3_000, "due_at": 3_000})
    house.lay("evt_off", off, **held)
    house.change_callback(back, held_before=2_000)
    house.change_callback(off, enabled=False)

    assert house.recover(HELD) == (3, 1, 2)

    row = house.row("evt_held", back)
    assert row.queued_at == row.due_at > 2_000
    assert row.is_recovery
    assert house.row("evt_flying", back).due_at == LATEST
    assert not house.row("evt_pending", back).is_recovery


async def test_what_no_callback_was_subscribed_to_is_created(house: House) -> None:
    """For those who may see it now: by type and channel, as at its first claim; each once, whatever
    is under way.
    """
    had, hears, elsewhere = (
        house.token("had"),
        house.token("hears"),
        house.token("elsewhere", channels=["chn_9"]),
    )
    house.token("other type", STATUS)
    house.lay("evt_1", callback_of(had), state="delivered", token_id=had.id)
    house.claim(a_claim("evt_2", callback_of(had)), a_claim("evt_3"))

    assert house.recover(MISSING) == (4, 4, 0)

    made = {(event_id, callback_of(hears)) for event_id in ("evt_1", "evt_2", "evt_3")} | {
        ("evt_3", callback_of(had))
    }
    assert house.recovering() == made
    row = house.row("evt_1", callback_of(hears))
    assert (row.state, row.token_id, row.type, row.lease, row.failures) == (
        "pending",
        hears.id,
        RECEIVED,
        0,
        0,
    )
    assert row.created_at == row.queued_at == row.due_at
    assert row.conversation_id == "cnv_1"
    assert callback_of(elsewhere) not in {callback_id for _, callback_id in house.recovering()}
    assert house.recover(MISSING) == (0, 0, 0)


async def test_only_the_missing_that_were_asked_for_are_made(house: House) -> None:
    """By token and by when the event was accepted. A callback that is off, or whose token is
    suspended, is skipped and counted; a token that has expired may see nothing.
    """
    one, off, suspended, expired = (
        house.token(name) for name in ("one", "off", "suspended", "expired")
    )
    house.change_callback(callback_of(off), enabled=False)
    house.change_token(suspended, enabled=False)
    house.change_token(expired, expires_at=NOW)
    house.claim(*(a_claim(f"evt_{at}", accepted_at=at) for at in (10, 11, 12)))

    assert house.recover(MISSING, since=UnixMs(11), until=UnixMs(12)) == (3, 1, 2)
    assert house.recover(MISSING, until=UnixMs(11), token=one.id) == (1, 1, 0)

    assert house.recovering() == {("evt_10", callback_of(one)), ("evt_11", callback_of(one))}


async def test_a_missing_status_below_one_that_may_have_arrived_is_skipped(house: House) -> None:
    """A supplier that subscribed late, and got the end by hand, does not get the beginning."""
    callback_id = callback_of(house.token("crm", STATUS), STATUS)
    house.claim(
        a_status_claim("evt_sent", "sent", "msg_1"), a_status_claim("evt_read", "read", "msg_1")
    )
    house.stand_at(callback_id, "msg_1", done_rank=rank("delivered"))

    assert house.recover(MISSING) == (2, 1, 1)

    assert house.due() == {"evt_read"}


@pytest.mark.parametrize("subscribers", [1, 2, 5])
async def test_slices_are_bounded_in_rows_and_leave_nothing_out(
    house: House, subscribers: int
) -> None:
    """Few events for many callbacks are as many rows as many events for one: a slice ends when it
    has enough.
    """
    for number in range(subscribers):
        house.token(f"crm {number}")
    house.claim(*(a_claim(f"evt_{number}", accepted_at=1_000) for number in range(7)))
    asked = house.ask(MISSING)
    done = [0]

    recoverer = house.recoverer()
    while recoverer.work():
        done.append(house.recovery(asked).done)

    assert done[-1] == len(house.recovering()) == 7 * subscribers
    assert max(b - a for a, b in itertools.pairwise(done)) < 3 + subscribers


async def test_states_are_worked_through_one_after_the_other(house: House) -> None:
    """One job for all of them, and its figures are of all."""
    callback_id = callback_of(house.token())
    house.lay("evt_given_up", callback_id)
    house.lay("evt_held", callback_id, state="pending", due_at=LATEST, queued_at=1_000)
    house.change_callback(callback_id, held_before=2_000)
    house.claim(*(a_claim(f"evt_{number}") for number in range(4)))

    assert house.recover(EXHAUSTED, HELD, MISSING) == (6, 6, 0)
