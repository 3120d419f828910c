"""What needs a person: failures grouped by callback and kind; on SQLite and on PostgreSQL."""

from collections.abc import Mapping

import pytest
import sqlalchemy as sa

from schemas.attention import Trouble, Troubles, TroubleState
from schemas.deliveries.deliveries import Outcome
from schemas.errors import NotFound
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId, new_attempt_id, new_test_event_id
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.attention import samples
from store.attention.acknowledgements import KEPT_MS, Acknowledgements
from store.attention.expiring import expiring_tokens
from store.attention.troubles import list_troubles
from store.engine.database import Database
from store.tables import acknowledgements, attempts, audit_log, callbacks, deliveries, tokens
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.delivery_rows import add_delivery
from tests.kit.plans import plans
from tests.kit.tokens import TESTER, token_fields

NOW = UnixMs(2_000_000_000_000)
MINUTE, DAY = 60_000, 86_400_000
RECEIVED = EventType.MESSAGE_RECEIVED


@pytest.fixture
def supplier(database: Database) -> CallbackId:
    """A callback of a token that is named like its supplier."""
    return add_supplier(database, "ACME CRM")


def add_supplier(database: Database, name: str) -> CallbackId:
    made = Tokens(database, Vault(["a-key-for-tests-" * 2])).create(
        token_fields(name), {RECEIVED: CallbackFields("https://crm.example/hook")}, NOW, TESTER
    )
    with database.read() as connection:
        token_id = TokenId(made.token.id)
        found = connection.scalar(sa.select(callbacks.c.id).where(callbacks.c.token_id == token_id))
    assert found
    return CallbackId(found)


def set_callback(database: Database, callback_id: CallbackId, **columns: object) -> None:
    with database.write() as connection:
        connection.execute(
            sa.update(callbacks).where(callbacks.c.id == callback_id).values(columns)
        )


def fail(
    database: Database,
    callback_id: CallbackId,
    event_id: str,
    minutes_ago: int,
    outcome: Outcome = Outcome.HTTP_5XX,
    status_code: int | None = 503,
    *,
    given_up: bool = False,
) -> None:
    """A delivery whose attempt failed, as it was made."""
    at = NOW - minutes_ago * MINUTE
    add_delivery(
        database,
        event_id,
        callback_id,
        state="exhausted" if given_up else "pending",
        created_at=at,
        queued_at=at,
        due_at=None if given_up else NOW + MINUTE,
        outcome=outcome.value,
        status_code=status_code,
    )
    row = {"event_id": event_id, "callback_id": callback_id, "id": new_attempt_id(), "number": 1}
    answer = {"outcome": outcome.value, "status_code": status_code, "error": f"about {event_id}"}
    sent = {"trigger": "first", "started_at": at, "duration_ms": 5}
    with database.write() as connection:
        connection.execute(
            sa.insert(attempts).values(
                row | answer | sent | {"request_headers": b"{}", "response_body": b""}
            )
        )


def troubles(database: Database, now: int = NOW) -> Troubles:
    with database.read() as connection:
        return list_troubles(connection, UnixMs(now))


def by_kind(database: Database) -> Mapping[str, Trouble]:
    return {one.kind: one for one in troubles(database).listed}


def test_where_nothing_fails_there_is_nothing(database: Database, supplier: CallbackId) -> None:
    add_delivery(database, "evt_1", supplier, state="delivered", created_at=NOW)
    add_delivery(database, "evt_2", supplier, created_at=NOW, due_at=NOW, queued_at=NOW)

    assert troubles(database) == Troubles([], 0, None)


def test_a_failing_callback_says_how_since_when_and_what_waits(
    database: Database, supplier: CallbackId
) -> None:
    """Deliveries that have not been attempted wait for it, too."""
    set_callback(database, supplier, failing_since=NOW - 30 * MINUTE)
    fail(database, supplier, "evt_1", 29)
    fail(database, supplier, "evt_2", 3, given_up=True)
    add_delivery(database, "evt_3", supplier, created_at=NOW, due_at=NOW, queued_at=NOW)

    (found,) = troubles(database).listed

    assert (found.token_name, found.type, found.kind) == ("ACME CRM", RECEIVED, "503")
    assert (found.state, found.since) == (TroubleState.FAILING, NOW - 30 * MINUTE)
    assert (found.waiting, found.given_up) == (2, 1)
    assert found.first
    assert (found.first.error, found.first.at) == ("about evt_1", NOW - 29 * MINUTE + 5)
    assert found.last
    assert (found.last.error, found.last.status_code) == ("about evt_2", 503)


def test_each_way_to_fail_is_a_group_of_its_own(database: Database, supplier: CallbackId) -> None:
    """What is mended for one does not help the other; a callback that works is called by its own
    state.
    """
    fail(database, supplier, "evt_1", 9, given_up=True)
    fail(database, supplier, "evt_2", 8, Outcome.HTTP_4XX, 422, given_up=True)
    fail(database, supplier, "evt_3", 7, Outcome.HTTP_4XX, 422)
    fail(database, supplier, "evt_4", 6, Outcome.TIMEOUT, None)

    found = by_kind(database)

    assert {kind: (one.waiting, one.given_up) for kind, one in found.items()} == {
        "503": (0, 1),
        "422": (1, 1),
        "timeout": (1, 0),
    }
    assert {one.state for one in found.values()} == {TroubleState.REFUSING}
    assert found["422"].since == NOW - 8 * MINUTE


def test_the_worst_comes_first_and_what_is_off_is_left_out(database: Database) -> None:
    """A person who switched a callback off, or a token, knows."""
    names = ("throttled", "failing", "disabled", "refusing", "off", "suspended", "expired")
    ids = {name: add_supplier(database, name) for name in names}
    set_callback(database, ids["throttled"], throttled_since=NOW - 9, throttled_until=NOW + MINUTE)
    set_callback(database, ids["failing"], failing_since=NOW - 9)
    gone = {"disabled_at": NOW - 1, "failing_since": NOW - 9, "disabled_reason": "it answered 410"}
    for name in ("disabled", "suspended", "expired"):
        set_callback(database, ids[name], **gone)
    set_callback(database, ids["off"], **gone, enabled=False)
    fail(database, ids["refusing"], "evt_1", 1, given_up=True)
    with database.write() as connection:
        suspend = sa.update(tokens).where(tokens.c.name == "suspended").values(enabled=False)
        connection.execute(suspend)
        expire = sa.update(tokens).where(tokens.c.name == "expired").values(expires_at=NOW)
        connection.execute(expire)

    found = troubles(database).listed

    assert [one.token_name for one in found] == ["disabled", "failing", "throttled", "refusing"]
    assert found[0].reason == "it answered 410"


def test_it_closes_by_itself(database: Database, supplier: CallbackId) -> None:
    """The callback works again, what waited was delivered, and the rest is a week ago."""
    set_callback(database, supplier, failing_since=NOW - MINUTE)
    fail(database, supplier, "evt_1", 2)
    fail(database, supplier, "evt_2", 1, given_up=True)
    assert troubles(database).listed

    set_callback(database, supplier, failing_since=None)
    with database.write() as connection:
        delivered = {"state": "delivered", "due_at": None, "outcome": "delivered"}
        connection.execute(
            sa.update(deliveries).where(deliveries.c.event_id == "evt_1").values(delivered)
        )

    assert [one.given_up for one in troubles(database).listed] == [1]
    assert troubles(database, NOW + samples.LOOKED_BACK_MS).listed == []


def test_tests_of_a_callback_are_no_trouble(database: Database, supplier: CallbackId) -> None:
    """Who made one has seen how it ended."""
    fail(database, supplier, new_test_event_id(), 1, given_up=True)

    assert troubles(database).listed == []


def test_an_acknowledgement_lasts_until_it_begins_again(
    database: Database, supplier: CallbackId
) -> None:
    """It is shown last, with the note; what fails later is another failure."""
    known = Acknowledgements(database)
    began = database.time() - MINUTE
    other = add_supplier(database, "other")
    for callback in (supplier, other):
        set_callback(database, callback, failing_since=began)
    known.put(supplier, "", "they know", TESTER)
    known.put(supplier, "", "they mend it on Monday", TESTER)

    now = database.time()
    first, last = troubles(database, now).listed
    assert (first.callback_id, first.acknowledged) == (other, None)
    assert last.acknowledged
    assert (last.acknowledged.note, last.acknowledged.by) == ("they mend it on Monday", TESTER.by)

    set_callback(database, supplier, failing_since=now + MINUTE)
    assert [one.acknowledged for one in troubles(database, now).listed] == [None, None]


def test_an_acknowledgement_is_written_down_and_can_be_taken_back(
    database: Database, supplier: CallbackId
) -> None:
    known = Acknowledgements(database)
    set_callback(database, supplier, failing_since=database.time() - MINUTE)
    known.put(supplier, "", "they know", TESTER)
    known.drop(supplier, "", TESTER)
    known.drop(supplier, "", TESTER)

    assert [one.acknowledged for one in troubles(database).listed] == [None]
    with database.read() as connection:
        actions = connection.scalars(sa.select(audit_log.c.action).order_by(audit_log.c.id)).all()
    assert list(actions[-2:]) == ["failure_acknowledged"] * 2
    assert actions.count("failure_acknowledged") == 2
    with pytest.raises(NotFound):
        known.put(CallbackId("f" * 16), "", "", TESTER)


def test_old_acknowledgements_are_deleted(database: Database, supplier: CallbackId) -> None:
    """Nothing grows for ever."""
    old = {"callback_id": "f" * 16, "kind": "503", "by": "x", "note": ""}
    with database.write() as connection:
        at = database.now(connection) - KEPT_MS
        connection.execute(sa.insert(acknowledgements).values(old | {"at": at}))

    Acknowledgements(database).put(supplier, "503", "", TESTER)

    with database.read() as connection:
        assert list(connection.scalars(sa.select(acknowledgements.c.callback_id))) == [supplier]


def test_when_many_lose_the_network_together_that_is_said(database: Database) -> None:
    """And when they work again, no longer."""
    ids = [add_supplier(database, f"supplier {number}") for number in range(6)]
    for number, callback_id in enumerate(ids[:4]):
        set_callback(database, callback_id, failing_since=NOW - number)
        fail(database, callback_id, f"evt_{number}", 1, Outcome.DNS, None)
    for number in range(5):
        for callback_id in ids[4:]:
            columns = {"state": "delivered", "outcome": "delivered", "created_at": NOW - MINUTE}
            add_delivery(database, f"evt_ok_{number}", callback_id, **columns)

    shared = troubles(database).shared
    assert shared
    assert (shared.failing, shared.active) == (4, 6)

    for callback_id in ids[:2]:
        set_callback(database, callback_id, failing_since=None)
    assert troubles(database).shared is None


def test_however_much_there_is_it_is_bounded(
    database: Database, supplier: CallbackId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each delivery is found by an index, and none is looked at beyond a limit."""
    monkeypatch.setattr(samples, "MOST_SAMPLED", 3)
    monkeypatch.setattr(samples, "MOST_COUNTED", 4)
    set_callback(database, supplier, failing_since=NOW - MINUTE)
    for number in range(9):
        fail(database, supplier, f"evt_open_{number}", number)
        fail(database, supplier, f"evt_ended_{number}", number, given_up=True)

    (found,) = troubles(database).listed
    assert (found.waiting, found.given_up) == (4, 3)

    ran = plans(database, lambda connection: list_troubles(connection, NOW))
    assert len(ran) <= 5
    walks = ("SCAN deliveries", "SCAN attempts", "Seq Scan on deliveries", "Seq Scan on attempts")
    if database.dialect == "sqlite":
        assert not [plan for plan in ran if any(walk in plan for walk in walks)], ran


def test_tokens_are_listed_by_when_they_expire(database: Database) -> None:
    """Those that have expired, that never do, or that no one uses are not."""
    ends = {"later": 20 * DAY, "soon": DAY, "never": None, "over": 0, "far": 40 * DAY}
    for name in (*ends, "suspended"):
        add_supplier(database, name)
    with database.write() as connection:
        for name, in_ms in ends.items():
            until = None if in_ms is None else NOW + in_ms
            connection.execute(
                sa.update(tokens).where(tokens.c.name == name).values(expires_at=until)
            )
        connection.execute(
            sa.update(tokens)
            .where(tokens.c.name == "suspended")
            .values(expires_at=NOW + DAY, enabled=False)
        )

    with database.read() as connection:
        found = expiring_tokens(connection, NOW)

    assert [(one.name, one.expires_at) for one in found] == [
        ("soon", NOW + DAY),
        ("later", NOW + 20 * DAY),
    ]
