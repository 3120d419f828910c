"""Who got an event, and who did not and why, on both databases: one fixture for each reason."""

import pytest
import sqlalchemy as sa

from schemas.deliveries.recipients import AS_THINGS_ARE_NOW, Reception, Recipient, WhyNot
from schemas.ids import EventId, new_test_event_id
from schemas.listings import DeliveryFilter
from schemas.times import LATEST, UnixMs
from schemas.tokens.matching import owners
from schemas.tokens.tokens import Token
from store.deliveries.listing import list_deliveries
from store.events import claims, recipients
from store.tables import callbacks, deliveries, events, tokens
from store.tokens.callbacks import Callbacks
from tests.kit.making import a_claim
from tests.kit.recovering import NOW, RECEIVED, STATUS, VAULT, House, callback_of
from tests.kit.tokens import TESTER

EVENT = EventId("evt_1")
CAME = UnixMs(NOW + 5)
LATER = UnixMs(NOW + 10)


def lay(house: House, event_id: str = EVENT, *under_way: Token) -> None:
    """The event, with a first attempt under way for these."""
    with house.database.write() as connection:
        claimed = a_claim(event_id, *map(callback_of, under_way), accepted_at=CAME)
        claims.claim(connection, [claimed], CAME)
        connection.execute(sa.update(events).values(claimed_at=CAME))


def deliver(house: House, token: Token, event_id: str = EVENT, **columns: object) -> None:
    """A delivery that succeeded, unless said otherwise."""
    row = {"event_id": event_id, "callback_id": callback_of(token), "token_id": token.id}
    row |= {"type": "message.received", "state": "delivered", "created_at": CAME}
    with house.database.write() as connection:
        connection.execute(
            sa.insert(deliveries).values(
                row | {"leased": False, "lease": 0, "failures": 0} | columns
            )
        )


def found(house: House, event_id: str = EVENT) -> list[Recipient]:
    with house.database.read() as connection:
        listed = recipients.recipients_of(connection, EventId(event_id), LATER)
    assert listed
    assert listed.more == 0
    return listed.listed


def reasons(house: House) -> list[tuple[str | None, Reception, WhyNot | None, str | None]]:
    return [(one.token_name, one.state, one.reason, one.note) for one in found(house)]


@pytest.mark.parametrize(
    ("columns", "state", "reason"),
    [
        ({}, Reception.RECEIVED, None),
        ({"state": "pending", "due_at": LATER}, Reception.PENDING, None),
        ({"state": "exhausted"}, Reception.NOT, WhyNot.EXHAUSTED),
        ({"state": "superseded"}, Reception.NOT, WhyNot.SUPERSEDED),
        ({"state": "cancelled", "reason": "discarded"}, Reception.NOT, WhyNot.CANCELLED),
    ],
)
def test_a_delivery_says_by_its_state_whether_it_was_received(
    house: House, columns: dict[str, object], state: Reception, reason: WhyNot | None
) -> None:
    """What is recorded needs no note."""
    token = house.token()
    lay(house)
    deliver(house, token, **columns)

    (one,) = found(house)

    assert (one.token_id, one.token_name, one.url) == (token.id, "crm", "https://x.example/")
    assert (one.state, one.reason, one.note) == (state, reason, None)
    assert one.detail == columns.get("reason")
    assert one.delivery_id == f"dlv_{callback_of(token)}_{EVENT}"


@pytest.mark.parametrize(
    ("callback", "token", "reason"),
    [
        ({"enabled": False}, {}, WhyNot.OFF),
        ({"disabled_at": 1, "disabled_reason": "gone"}, {}, WhyNot.DISABLED),
        ({}, {"enabled": False}, WhyNot.SUSPENDED),
        ({"held_before": LATER}, {}, WhyNot.HELD),
        ({"enabled": False, "disabled_at": 1, "disabled_reason": "gone"}, {"enabled": False},
         WhyNot.OFF),
    ],
)  # fmt: skip
def test_what_is_held_says_what_holds_it(
    house: House, callback: dict[str, object], token: dict[str, object], reason: WhyNot
) -> None:
    """The person who looks can change just that. The reason in words is the delivery's own."""
    crm = house.token()
    lay(house)
    deliver(house, crm, state="pending", due_at=LATEST, queued_at=CAME)
    if callback:
        house.change_callback(callback_of(crm), **callback)
    if token:
        house.change_token(crm, **token)

    (one,) = found(house)

    with house.database.read() as connection:
        (listed,) = list_deliveries(connection, DeliveryFilter(), 10).rows
    assert (one.state, one.reason, one.note) == (Reception.NOT, reason, None)
    assert one.detail == listed.reason


def test_a_first_attempt_under_way_is_pending(house: House) -> None:
    """It has no row yet."""
    crm = house.token()
    lay(house, EVENT, crm)

    assert reasons(house) == [("crm", Reception.PENDING, None, None)]


def test_a_callback_without_a_delivery_is_judged_by_how_things_are_now(house: House) -> None:
    """One for each reason, in the order of the names. Callbacks of other types are not listed, nor
    those of a revoked token.
    """
    house.token("a elsewhere", channels=["chn_9"])
    house.change_token(house.token("b expired"), expires_at=LATER)
    house.change_token(house.token("c scheduled"), activates_at=LATER + 1)
    house.change_token(house.token("d valid since"), activates_at=LATER)
    house.change_token(house.token("e created since"), created_at=CAME + 1)
    house.token("f late")
    house.change_token(house.token("g suspended and late"), enabled=False)
    house.token("h other type", STATUS)
    house.change_token(house.token("i revoked"), revoked_at=1)
    got = house.token("z got it")
    lay(house)
    deliver(house, got)

    none = Reception.NOT
    assert reasons(house) == [
        ("z got it", Reception.RECEIVED, None, None),
        ("a elsewhere", none, WhyNot.CHANNEL, AS_THINGS_ARE_NOW),
        ("b expired", none, WhyNot.TOKEN, AS_THINGS_ARE_NOW),
        ("c scheduled", none, WhyNot.TOKEN, AS_THINGS_ARE_NOW),
        ("d valid since", none, WhyNot.TOKEN, AS_THINGS_ARE_NOW),
        ("e created since", none, WhyNot.TOKEN, None),
        ("f late", none, WhyNot.MISSING, AS_THINGS_ARE_NOW),
        ("g suspended and late", none, WhyNot.MISSING, AS_THINGS_ARE_NOW),
    ]


def test_the_matcher_decides_alike(house: House) -> None:
    """Those listed as `missing` are exactly those that the event would be matched to now."""
    house.token("elsewhere", channels=["chn_9"])
    house.token("here", channels=["chn_1", "chn_9"])
    house.token("nowhere", channels=[])
    house.token("everywhere")
    house.change_token(house.token("expired"), expires_at=LATER)
    house.change_token(house.token("suspended"), enabled=False)
    lay(house)
    house.directory.refresh()

    missing = {one.callback_id for one in found(house) if one.reason is WhyNot.MISSING}

    assert missing == set(owners(RECEIVED, "chn_1", house.directory, LATER))
    assert len(missing) == 3


def test_a_deleted_callback_is_listed_by_its_delivery(house: House) -> None:
    """It may have got the event."""
    crm, gone = house.token("crm"), house.token("gone")
    lay(house)
    deliver(house, crm)
    deliver(house, gone)
    Callbacks(house.database, VAULT).delete(crm.id, RECEIVED, TESTER)
    with house.database.write() as connection:
        connection.execute(sa.delete(callbacks).where(callbacks.c.token_id == gone.id))
        connection.execute(sa.delete(tokens).where(tokens.c.id == gone.id))

    listed = {one.token_id: (one.token_name, one.url, one.state) for one in found(house)}

    assert listed == {
        crm.id: ("crm", None, Reception.RECEIVED),
        gone.id: (None, None, Reception.RECEIVED),
    }


def test_a_test_is_for_its_callback_alone(house: House) -> None:
    """No one else should be looked after."""
    crm = house.token("crm")
    house.token("other")
    event_id = new_test_event_id()
    lay(house, event_id)
    deliver(house, crm, event_id)

    assert [one.token_name for one in found(house, event_id)] == ["crm"]


def test_of_very_many_some_are_listed_and_the_others_counted(house: House) -> None:
    """Those that got it, and those that did not, however they are spread."""
    got = [house.token(f"got {number}") for number in range(3)]
    for number in range(3):
        house.token(f"not {number}")
    lay(house)

    def listed() -> tuple[list[str | None], int]:
        with house.database.read() as connection:
            some = recipients.recipients_of(connection, EVENT, LATER, 4)
        assert some
        return sorted(str(one.token_name) for one in some.listed), some.more

    assert listed()[1] == 2
    for token in got:
        deliver(house, token)
    assert listed() == (["got 0", "got 1", "got 2", "not 0"], 2)
    for number in range(3, 6):
        deliver(house, house.token(f"got {number}"))
    names, more = listed()
    assert (len(names), more) == (4, 5)
    assert all(name and name.startswith("got") for name in names)


def test_an_event_that_is_not_there_has_no_recipients(house: House) -> None:
    """Nor does it have none."""
    with house.database.read() as connection:
        assert recipients.recipients_of(connection, EventId("evt_none"), LATER) is None
