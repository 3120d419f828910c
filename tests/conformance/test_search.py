"""One box for whatever people paste, on both databases: found by id at once, and everything else
within bounds.
"""

import pytest
import sqlalchemy as sa
import uuid_utils

from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.ids import CallbackId, EventId, delivery_id, new_attempt_id, new_request_id
from schemas.search import Found, Hit, HitKind
from schemas.times import UnixMs, now_ms
from schemas.tokens.fields import CallbackFields
from store import search
from store.deliveries.settlement import settle
from store.events import claims
from store.tables import requested_attempts, requests
from tests.kit.delivery_rows import add_delivery
from tests.kit.making import a_claim, a_delivery, an_attempt
from tests.kit.plans import plans
from tests.kit.recovering import NOW, RECEIVED, House, a_status_claim
from tests.kit.tokens import TESTER, token_fields

CALLBACK = CallbackId("a" * 16)
DELIVERY = delivery_id(EventId("evt_1"), CALLBACK)


def find(house: House, text: str) -> Found:
    with house.database.read() as connection:
        return search.find(connection, text)


def hits(house: House, text: str) -> list[Hit]:
    return find(house, text).hits


def add_request(house: House, row_id: str, request_id: str | None, token: str | None) -> None:
    row = {"id": row_id, "token_id": token, "at": now_ms(), "request_id": request_id}
    with house.database.write() as connection:
        connection.execute(sa.insert(requests).values(row | {"method": "GET", "path": "/v1/me"}))


@pytest.mark.parametrize("event_id", ["evt_1", "order-4711_created", "42"])
def test_an_event_is_found_by_the_id_that_its_backend_chose(house: House, event_id: str) -> None:
    """Blanks around it were copied along."""
    house.claim(a_claim(event_id), a_claim("evt_other"))

    assert hits(house, f" {event_id}\n") == [Hit(HitKind.EVENT, event_id, "message.received")]


def test_a_delivery_is_found_settled_or_under_way(house: House) -> None:
    """While its first attempt is under way it has no row."""
    house.claim(a_claim("evt_1", CALLBACK))
    under_way = hits(house, DELIVERY)
    add_delivery(house.database, "evt_1", CALLBACK, state="exhausted")

    assert under_way == [Hit(HitKind.DELIVERY, DELIVERY, "message.received, pending")]
    assert hits(house, DELIVERY) == [Hit(HitKind.DELIVERY, DELIVERY, "message.received, exhausted")]
    assert hits(house, delivery_id(EventId("evt_1"), CallbackId("b" * 16))) == []


@pytest.mark.parametrize("state", list(DeliveryState)[:3])
def test_an_attempt_is_found_with_its_delivery(house: House, state: DeliveryState) -> None:
    """Among those of other deliveries."""
    made = {event_id: an_attempt() for event_id in ("evt_0", "evt_1", "evt_2")}
    with house.database.write() as connection:
        for event_id, attempt in made.items():
            due_in_s = 5 if state is DeliveryState.PENDING else None
            settlement = Settlement(a_delivery(event_id), state, due_in_s=due_in_s, attempt=attempt)
            settle(connection, [settlement], UnixMs(NOW))

    wanted = made["evt_1"].id
    assert hits(house, wanted) == [Hit(HitKind.ATTEMPT, wanted, DELIVERY, within=DELIVERY)]
    assert hits(house, new_attempt_id()) == []


@pytest.mark.parametrize("state", ["pending", "exhausted"])
def test_a_late_attempt_is_found_behind_many_newer_deliveries(
    house: House, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry comes days after its delivery was made; by then others were delivered."""
    monkeypatch.setattr(search, "SCAN_ROWS", 3)
    attempt = an_attempt()
    with house.database.write() as connection:
        settlement = Settlement(
            a_delivery("evt_1"), DeliveryState(state), due_in_s=5, attempt=attempt
        )
        settle(connection, [settlement], UnixMs(NOW))
    for number in range(9):
        add_delivery(house.database, f"evt_new_{number}", state="delivered", created_at=9_000)

    assert [hit.within for hit in hits(house, attempt.id)] == [DELIVERY]


def test_an_attempt_is_found_when_it_is_only_requested(house: House) -> None:
    """The answer to a retry names it before it is made."""
    wanted = new_attempt_id()
    row = {"id": wanted, "event_id": "evt_1", "callback_id": CALLBACK, "due_at": 1}
    with house.database.write() as connection:
        connection.execute(
            sa.insert(requested_attempts).values(row | {"trigger": Trigger.MANUAL.value})
        )

    assert hits(house, wanted) == [Hit(HitKind.ATTEMPT, wanted, DELIVERY, within=DELIVERY)]


def test_a_token_is_found_by_its_id_and_by_a_part_of_its_name(house: House) -> None:
    """In any case and spelling; those that begin with it first, revoked ones last."""
    acme, street = house.token("ACME CRM"), house.token("Straße 1")
    gone = house.token("Acme old")
    house.change_token(gone, revoked_at=1)
    new = house.token("new acme_x")

    assert hits(house, street.id) == [Hit(HitKind.TOKEN, street.id, "Straße 1")]
    assert [hit.id for hit in hits(house, "acme")] == [acme.id, new.id, gone.id]
    assert [hit.id for hit in hits(house, "STRASSE")] == [street.id]
    assert [hit.id for hit in hits(house, "acme_")] == [new.id]
    assert hits(house, "%") == hits(house, "nothing like it") == []


def test_a_callback_is_found_by_a_part_of_its_host(house: House) -> None:
    """Not by its path or its query, which may be a secret."""
    fields = {RECEIVED: CallbackFields("https://CRM.Example:8443/hook/secret?key=hidden")}
    crm = house.tokens.create(token_fields("one"), fields, NOW, TESTER).token
    house.token("two")

    expected = [Hit(HitKind.CALLBACK, "message.received", "crm.example", within=crm.id)]
    for text in ("crm.example", "CRM.", "https://crm.example/other"):
        assert hits(house, text) == expected, text
    for text in ("hook", "secret", "hidden", "8443", "https://", "https://[", "x.example/"):
        assert not [hit for hit in hits(house, text) if hit.within == crm.id], text


def test_a_request_is_found_by_either_of_its_ids(house: House) -> None:
    """That of its row, which introspection answers, and the `X-Request-Id` of a response."""
    public = new_request_id()
    row = new_request_id()
    add_request(house, row, public, "tok_1")
    unowned = new_request_id()
    add_request(house, unowned, None, None)

    expected = [Hit(HitKind.REQUEST, row, "GET /v1/me", within="tok_1")]
    assert hits(house, row) == hits(house, public) == expected
    assert hits(house, unowned) == hits(house, new_request_id()) == hits(house, "req_x") == []


def test_events_are_found_by_their_conversation_and_message(house: House) -> None:
    """Newest first. Other data that hold the same text are no reason: not everyone may read them."""
    house.claim(
        a_claim("evt_1", accepted_at=1_000),
        a_claim("evt_2", accepted_at=2_000, text="msg_7"),
        a_status_claim("evt_3", "sent", "msg_7"),
    )
    status = [Hit(HitKind.EVENT, "evt_3", "message.status, message msg_7")]

    assert hits(house, "msg_7") == status
    by_message = hits(house, "msg_1")
    assert [(hit.id, hit.label) for hit in by_message] == [
        ("evt_2", "message.received, message msg_1"),
        ("evt_1", "message.received, message msg_1"),
    ]
    assert {hit.id for hit in hits(house, "cnv_1")} == {"evt_1", "evt_2", "evt_3"}
    assert hits(house, "cus_1") == hits(house, "chn_1") == []


def test_a_search_says_how_far_back_it_looked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing found there is not nothing found."""
    monkeypatch.setattr("store.engine.paging.SCAN_ROWS", 3)
    house.claim(
        a_claim("evt_old", accepted_at=1_000),
        *(a_claim(f"evt_{number}", accepted_at=2_000 + number) for number in range(5)),
    )

    found = find(house, "cnv_1")

    assert [hit.id for hit in found.hits] == ["evt_4", "evt_3", "evt_2"]
    assert found.looked_until == 2_002
    assert find(house, "evt_old") == Found([Hit(HitKind.EVENT, "evt_old", "message.received")])


def test_an_event_too_long_to_search_is_found_by_its_conversation(house: House) -> None:
    """Its message is not looked for: a search must end within a second."""
    house.claim(a_claim("evt_1", text="x" * search.SEARCHED_BODY_BYTES))

    assert hits(house, "msg_1") == []
    assert [hit.id for hit in hits(house, "cnv_1")] == ["evt_1"]


@pytest.mark.parametrize(
    "text", ["", "  ", "a\0b", "x" * 301, "att_x", "dlv_x", "\ud83d", "' OR 1=1", "é😀", '"\\']
)
def test_any_text_may_be_searched_for(house: House, text: str) -> None:
    """People paste what they have."""
    house.claim(a_claim("evt_1"))

    assert hits(house, text) == []


def test_a_search_reads_by_indexes(house: House) -> None:
    """Whatever is pasted, at ten million rows."""
    uuid = uuid_utils.uuid7().hex
    with house.database.write() as connection:
        claims.claim(connection, [a_claim(f"evt_{number}") for number in range(300)], NOW)
    for number in range(300):
        add_delivery(house.database, f"evt_{number}", state="delivered", created_at=number)

    for text in ("evt_1", DELIVERY, f"att_{uuid}", f"req_{uuid}", "cnv_unknown"):
        for plan in plans(
            house.database, lambda connection, text=text: search.find(connection, text)
        ):
            for line in plan.upper().splitlines():
                for table in ("EVENTS", "DELIVERIES", "ATTEMPTS", "REQUESTS"):
                    assert line.strip() != f"SCAN {table}", (text, plan)
