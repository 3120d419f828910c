"""The Excel export, opened with another library; and the channels that were seen lately."""

import datetime as dt
import io
import threading
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa

from schemas.log_events import LogEvent
from schemas.times import UnixMs, from_rfc3339
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import TokenState
from store.events import channels as seen_channels
from store.events import claims
from store.events.claims import Claim
from store.tables import callbacks, tokens
from tests.kit.api import URL, Caller, House, callback_id, deliver
from tests.kit.making import an_event
from web.exports import streaming

Sheet = list[dict[str, Any]]


def exported(caller: Caller) -> dict[str, Sheet]:
    """Rows by sheet, cells by title."""
    answer = caller.call("GET", "/v1/tokens.xlsx")
    assert answer.status_code == 200, answer.json
    book = openpyxl.load_workbook(io.BytesIO(answer.data))
    sheets: dict[str, Sheet] = {}
    for name in book.sheetnames:
        titles, *rows = book[name].iter_rows(values_only=True)
        sheets[name] = [dict(zip(map(str, titles), row, strict=True)) for row in rows]
    return sheets


def of(sheet: Sheet, token_id: str, column: str = "ID") -> dict[str, Any]:
    (found,) = (row for row in sheet if row[column] == token_id)
    return found


def as_date(text: str) -> dt.datetime:
    """A time as a workbook has it: without a zone."""
    return dt.datetime.fromtimestamp(from_rfc3339(text) / 1000, dt.UTC).replace(tzinfo=None)


def close(one: dt.datetime, other: dt.datetime) -> bool:
    return abs(one - other) < dt.timedelta(milliseconds=2)


@pytest.fixture
def made(house: House, admin: Caller) -> dict[str, Any]:
    """A token of which everything is known: it was used, its callback was called and disabled."""
    made = (
        admin.call(
            "POST",
            "/v1/tokens",
            {
                "name": "ACME CRM",
                "activates_at": "2026-11-22T10:00:00.250Z",
                "expires_at": "2046-11-22T10:00:00Z",
                "contact": "ops@acme.example",
                "permissions": ["conversations:read", "events:publish"],
                "visibility": {"channels": ["b", "a"]},
                "callbacks": {
                    "message.received": {
                        "url": f"{URL}?key=hidden",
                        "headers": {"X-Key": "hidden", "X-Also": "hidden"},
                        "held": "keep",
                    }
                },
            },
        ).json
        or {}
    )
    for number, state in enumerate(
        ("delivered", "exhausted", "superseded", "cancelled", "delivered", "pending")
    ):
        deliver(house, made, f"evt_{number}", state=state, due_at=9 if state == "pending" else None)
    with house.database.write() as connection:
        connection.execute(
            sa.update(tokens).where(tokens.c.id == made["id"]).values(last_used_at=1_000)
        )
        connection.execute(
            sa.update(callbacks)
            .where(callbacks.c.id == callback_id(house, made))
            .values(
                failing_since=2_000,
                disabled_at=3_000,
                disabled_reason="its receiver answered 410 Gone",
            )
        )
    return made


def test_details_of_a_token_are_in_the_first_sheet(admin: Caller, made: dict[str, Any]) -> None:
    """A reader of the workbook needs no other page."""
    details = of(exported(admin)["Details"], made["id"])
    assert close(details.pop("Created (UTC)"), as_date(made["created_at"]))
    assert details == {
        "ID": made["id"],
        "Name": "ACME CRM",
        "State": TokenState(made["state"]),
        "Token hint": made["token_hint"],
        "Contact": "ops@acme.example",
        "Activates (UTC)": dt.datetime(2026, 11, 22, 10, 0, 0, 250_000),  # noqa: DTZ001
        "Expires (UTC)": dt.datetime(2046, 11, 22, 10),  # noqa: DTZ001
        "Enabled": "on",
        "Channels": "a, b",
        "Last used (UTC)": dt.datetime(1970, 1, 1, 0, 0, 1),  # noqa: DTZ001
        "Revoked (UTC)": None,
        "Deliveries pending": 0,
        "Deliveries held": 1,
        "Deliveries delivered": 2,
        "Deliveries exhausted": 1,
        "Deliveries superseded": 1,
        "Deliveries cancelled": 1,
    }


def test_every_permission_is_on_or_off(admin: Caller, made: dict[str, Any]) -> None:
    """By the names that administrators know."""
    permissions = of(exported(admin)["Permissions"], made["id"])
    assert permissions == {
        "ID": made["id"],
        "Name": "ACME CRM",
        **{
            permission.label: "on" if permission in made["permissions"] else "off"
            for permission in Permission
        },
    }


def test_callbacks_are_there_with_their_health(admin: Caller, made: dict[str, Any]) -> None:
    """Headers are there by name, never with a value; of a URL's query only the names."""
    assert exported(admin)["Callbacks"] == [
        {
            "Token ID": made["id"],
            "Token name": "ACME CRM",
            "Token revoked (UTC)": None,
            "Event": "New Message",
            "URL": f"{URL}?key=***",
            "Enabled": "on",
            "State": "disabled",
            "Failing since (UTC)": dt.datetime(1970, 1, 1, 0, 0, 2),  # noqa: DTZ001
            "Disabled at (UTC)": dt.datetime(1970, 1, 1, 0, 0, 3),  # noqa: DTZ001
            "Disabled because": "its receiver answered 410 Gone",
            "Held deliveries on return": "keep",
            "Header names": "X-Also, X-Key",
        }
    ]


def test_revoked_tokens_are_in_it_with_their_state(admin: Caller, token: dict[str, Any]) -> None:
    """An inventory that leaves out the ended ones is none; the list of tokens shows them only when
    asked.
    """
    admin.call("DELETE", f"/v1/tokens/{token['id']}")

    sheets = exported(admin)

    details = of(sheets["Details"], token["id"])
    assert details["State"] == "revoked"
    assert isinstance(details["Revoked (UTC)"], dt.datetime)
    assert details["Channels"] == "all"
    callback = of(sheets["Callbacks"], token["id"], "Token ID")
    assert (callback["URL"], callback["Token revoked (UTC)"]) == (URL, details["Revoked (UTC)"])


def test_tokens_are_in_the_order_in_which_they_were_made_over_pages(
    house: House, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each exactly once on each sheet, however many there are."""
    monkeypatch.setattr("store.tokens.export._PAGE", 2)
    callback = {"url": URL}
    for number in range(5):
        body = {
            "name": f"token {number}",
            "callbacks": dict.fromkeys(("message.received", "message.status"), callback),
        }
        assert admin.call("POST", "/v1/tokens", body).status_code == 201

    sheets = exported(admin)

    names = ["caller", *(f"token {number}" for number in range(5))]
    assert [row["Name"] for row in sheets["Details"]] == names
    assert [row["Name"] for row in sheets["Permissions"]] == names
    assert [(row["Token name"], row["Event"]) for row in sheets["Callbacks"]] == [
        (name, event) for name in names[1:] for event in ("New Message", "Message reports")
    ]


def test_no_secret_is_in_the_workbook(house: House, admin: Caller, token: dict[str, Any]) -> None:
    """It travels by mail."""
    answer = admin.call("GET", "/v1/tokens.xlsx")

    book = openpyxl.load_workbook(io.BytesIO(answer.data))
    texts = " ".join(
        str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row
    )
    assert "X-Key" in texts
    assert "hidden" not in texts
    assert token["token"] not in texts
    assert token["signing_secret"].removeprefix("whsec_") not in texts


def test_the_workbook_is_a_file_of_the_day(admin: Caller) -> None:
    """A browser saves it under a name that tells which one it is."""
    answer = admin.call("GET", "/v1/tokens.xlsx")

    assert (
        answer.content_type == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    )
    assert (
        answer.headers["Content-Disposition"]
        == f'attachment; filename="ringback-tokens-{dt.datetime.now(dt.UTC):%Y-%m-%d}.xlsx"'
    )


def test_an_export_is_noted_with_who_made_it(house: House, admin: Caller) -> None:
    """Everything leaves the house at once: an auditor will ask."""
    admin.call("GET", "/v1/tokens.xlsx")

    (noted,) = [fields for what, fields in house.observer.notes if what == LogEvent.TOKENS_EXPORTED]
    assert str(noted["by"]).startswith("tok_")


def test_a_second_export_at_the_same_time_is_asked_to_wait(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each keeps a core busy: five impatient clicks must not slow down all events."""
    held = threading.Lock()
    held.acquire()
    monkeypatch.setattr(streaming, "_one_at_a_time", held)

    refused = admin.call("GET", "/v1/tokens.xlsx")
    held.release()
    taken = admin.call("GET", "/v1/tokens.xlsx")

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    assert (taken.status_code, admin.call("GET", "/v1/tokens.xlsx").status_code) == (200, 200)


def test_headers_that_cannot_be_read_do_not_stop_the_export(
    house: House, admin: Caller, token: dict[str, Any]
) -> None:
    """After a restore without its key one still needs to know what there is."""
    with house.database.write() as connection:
        connection.execute(sa.update(callbacks).values(headers=b"\x01 of another key"))

    (callback,) = exported(admin)["Callbacks"]

    assert callback["URL"] == URL
    assert callback["Header names"] == "unreadable: the secret key is missing"


def see(house: House, event_id: str, channel: dict[str, Any], at: int) -> None:
    """An event of this channel was taken then."""
    data = {
        "message": {"id": "m", "conversation_id": "c", "content": {"type": "text", "text": "x"}},
        "customer": {"id": "cus"},
    }
    event = an_event(event_id, data=data | {"channel": channel})
    with house.database.write() as connection:
        claims.claim(
            connection,
            [Claim(event, UnixMs(at), False, (), event.webhook_body(UnixMs(at)))],
            UnixMs(at),
        )


def test_channels_are_listed_as_their_latest_event_describes_them(
    house: House, admin: Caller
) -> None:
    """Newest first: the one in question is at the top."""
    see(house, "evt_1", {"id": "chn_a", "kind": "sms", "address": "+1"}, 1_000)
    see(house, "evt_2", {"id": "chn_b", "kind": "email"}, 2_000)
    see(
        house,
        "evt_3",
        {"id": "chn_a", "kind": "whatsapp", "address": "+2", "provider": "meta"},
        3_000,
    )

    answer = admin.call("GET", "/v1/channels")

    assert answer.json == {
        "data": [
            {
                "id": "chn_a",
                "kind": "whatsapp",
                "address": "+2",
                "provider": "meta",
                "last_seen_at": "1970-01-01T00:00:03.000Z",
            },
            {
                "id": "chn_b",
                "kind": "email",
                "address": None,
                "provider": None,
                "last_seen_at": "1970-01-01T00:00:02.000Z",
            },
        ],
        "next_cursor": None,
    }


def test_channels_come_in_pages(house: House, admin: Caller) -> None:
    """Every list does this."""
    for number in range(25):
        see(
            house, f"evt_{number}", {"id": f"chn_{number % 23}", "kind": "sms"}, 1_000 + number // 2
        )

    listed, query = [], {"limit": "10"}
    while True:
        answer = admin.call("GET", "/v1/channels", query_string=query).json or {}
        listed += [channel["id"] for channel in answer["data"]]
        if answer["next_cursor"] is None:
            break
        query["cursor"] = answer["next_cursor"]

    assert len(listed) == 23
    assert set(listed) == {f"chn_{number}" for number in range(23)}


def test_no_more_than_the_latest_events_are_looked_through(
    house: House, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table holds a month; the list to choose from should have what is in use."""
    monkeypatch.setattr(seen_channels, "LATEST", 2)
    for number in range(3):
        see(house, f"evt_{number}", {"id": f"chn_{number}", "kind": "sms"}, 1_000 + number)

    answer = admin.call("GET", "/v1/channels").json or {}

    assert [channel["id"] for channel in answer["data"]] == ["chn_2", "chn_1"]


def test_the_channel_of_a_test_is_no_channel(
    house: House, admin: Caller, token: dict[str, Any]
) -> None:
    """Its sample names one that does not exist."""
    assert (
        admin.call("POST", f"/v1/tokens/{token['id']}/callbacks/message.received/test").status_code
        == 503
    )

    assert (admin.call("GET", "/v1/channels").json or {})["data"] == []


@pytest.mark.parametrize("path", ["/v1/tokens.xlsx", "/v1/channels"])
def test_only_administrators_see_these(house: House, path: str) -> None:
    """All other rights together are not enough."""
    caller = house.caller(
        *(permission for permission in Permission if permission is not Permission.PLATFORM_ADMIN)
    )

    assert caller.call("GET", path).status_code == 403
