"""The page with the callbacks of a token: what it shows, and how its forms are saved."""

import re
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from schemas.events.types import EventType
from schemas.people import Role
from schemas.times import now_ms
from schemas.tokens.audit_log import Action
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Callback, CallbackState, OnResume
from store.tokens.callbacks import Callbacks
from tests.kit.delivery_rows import add_delivery
from tests.kit.pages import Site
from tests.kit.supplier import HEADERS, RECEIVED, URL, Supplier
from tests.kit.tokens import TESTER

CREATED = EventType.CONVERSATION_CREATED
HOSTILE = "https://x.example/?a=b&c='\"<script>alert(1)</script>"


@pytest.fixture
def supplier(site: Site) -> Supplier:
    return Supplier(site)


def was(supplier: Supplier, number: int = 1) -> str:
    """What the form of a card has, which says of which callback it was made."""
    page = supplier.admin.open(supplier.path("callbacks")).text
    return re.findall(r'name="was" value="(\w*)"', page)[number]


def save(supplier: Supplier, **fields: object) -> TestResponse:
    """Send the form as it is shown, with some fields changed."""
    shown = {
        "url": URL,
        "enabled": "yes",
        "held": "release",
        "header_name": ["Authorization", "X-Tenant", "", ""],
        "header_value": ["", "", "", ""],
        "was": was(supplier),
    }
    return supplier.admin.send(supplier.callback_path(), **shown | fields)


def test_each_type_has_a_card_in_the_words_of_administrators(supplier: Supplier) -> None:
    """They know no `message.status`."""
    page = supplier.admin.open(supplier.path("callbacks")).text

    names = re.findall(r'<h2 id="h-[\w-]+">([^<]*)</h2>', page)
    assert names == ["New Conversation", "New Message", "Message reports"]
    assert page.count("Not set") == 2
    assert "Hello, where is my order?" in page


def test_values_of_headers_are_on_no_page(supplier: Supplier) -> None:
    """They are the keys of a receiver."""
    page = supplier.admin.open(supplier.path("callbacks")).text

    assert all(name in page for name in HEADERS)
    assert not any(value in page for value in HEADERS.values())


def test_a_viewer_sees_an_address_without_its_key_and_nothing_to_change(
    site: Site, supplier: Supplier
) -> None:
    """Who may only look has no use for the key."""
    page = site.browser(Role.VIEWER).open(supplier.path("callbacks")).text

    assert "https://crm.example.com/hook?key=***" in page
    assert "s3cret" not in page
    assert 'method="post" action="/tokens/' not in page


@pytest.mark.parametrize(
    "address", ["", "/delete", "/enable", "/test", "signing-secret", "signing-secret/rotate"]
)
def test_a_viewer_changes_nothing(site: Site, supplier: Supplier, address: str) -> None:
    """Forms can be sent without a page."""
    before = supplier.token
    path = (
        supplier.path(address)
        if address.startswith("signing")
        else supplier.callback_path() + address
    )

    assert site.browser(Role.VIEWER).send(path, url="https://x.example/").status_code == 403
    assert supplier.token == before


def test_a_callback_is_set_and_recorded_with_the_person(supplier: Supplier) -> None:
    """The first thing that a new supplier asks for."""
    answer = supplier.admin.send(
        supplier.callback_path(CREATED),
        url=" https://crm.example.com/new ",
        enabled="yes",
        held="keep",
        header_name=["X-Key", ""],
        header_value=["abc", ""],
        was="",
    )

    assert (answer.status_code, answer.location) == (303, supplier.path("callbacks#content"))
    made = supplier.token.callbacks[CREATED]
    assert (made.url, made.enabled, made.on_resume, made.headers) == (
        "https://crm.example.com/new",
        True,
        OnResume.KEEP,
        {"X-Key": "abc"},
    )
    change = supplier.changes()[0]
    assert (change.action, change.type) == (Action.CALLBACK_SET, CREATED)
    assert change.actor.email == "admin@example.com"
    page = supplier.admin.open(supplier.path("callbacks")).text
    assert "The callback for New Conversation is saved." in page


def test_headers_are_kept_replaced_removed_and_added_by_name(supplier: Supplier) -> None:
    """Their values are not in the form, so that leaving one empty keeps it."""
    save(
        supplier,
        header_name=["Authorization", "X-Tenant", "x-New", ""],
        header_value=["", "green", "1", ""],
    )
    replaced = supplier.callback.headers
    save(
        supplier,
        header_name=["Authorization", "X-Tenant", "x-New"],
        header_value=["", "", ""],
        remove_header=["X-Tenant", "x-New"],
    )

    assert replaced == HEADERS | {"X-Tenant": "green", "x-New": "1"}
    assert supplier.callback.headers == {"Authorization": HEADERS["Authorization"]}


def test_a_further_header_of_the_same_name_replaces_the_stored_one(supplier: Supplier) -> None:
    """Names do not differ by upper and lower case."""
    save(
        supplier,
        header_name=["Authorization", "X-Tenant", "authorization"],
        header_value=["", "", "other"],
    )

    assert supplier.callback.headers == {"X-Tenant": "blue", "authorization": "other"}


def test_saving_what_is_there_already_starts_nothing_again(supplier: Supplier) -> None:
    """A failing callback would be called again at once, and what it is known for forgotten."""
    supplier.set_columns(failing_since=1, probe_at=2, probes=3)
    before = supplier.callback

    assert save(supplier).status_code == 303
    assert supplier.callback == before


@pytest.mark.parametrize(
    ("fields", "field", "fault"),
    [
        ({"url": "ftp://x.example"}, "url", "The URL must begin with https://"),
        ({"url": "https://10.0.0.1/"}, "url", "10.0.0.1 is not a public address"),
        ({"header_value": ["", "", "v", ""]}, "header.2", "Give the header a name, too."),
        ({"header_name": ["Authorization", "X-Tenant", "X-A"], "header_value": ["", "", ""]},
         "header.2", "Give the header a value."),
        ({"header_name": ["X-A", "X-a"], "header_value": ["1", "2"]},
         "header.1", "This header is given twice."),
        ({"header_name": ["Host"], "header_value": ["x"]}, "header.0", "Host is set by Ringback"),
        ({"header_name": ["X-A"], "header_value": ["ä"]}, "header.0", "A header value is visible"),
    ],
)  # fmt: skip
def test_a_failed_save_keeps_what_was_typed_and_says_what_is_wrong_at_its_field(
    supplier: Supplier, fields: dict[str, object], field: str, fault: str
) -> None:
    """By the same rules as the API. Nothing is typed twice."""
    before = supplier.token

    answer = save(supplier, **{"held": "discard"} | fields)

    assert answer.status_code == 422
    shown = re.search(rf'id="fault-message-received-{re.escape(field)}">([^<]*)<', answer.text)
    assert shown
    assert shown[1].lower().startswith(fault.lower())
    assert f'aria-describedby="fault-message-received-{field}"' in answer.text
    assert '<option value="discard" selected>' in answer.text
    for name, value in fields.items():
        for text in [value] if isinstance(value, str) else value if isinstance(value, list) else []:
            assert f'value="{text}"' in answer.text, name
    assert supplier.token == before


def test_the_second_of_two_people_sees_what_the_first_one_saved(
    site: Site, supplier: Supplier
) -> None:
    """And decides with open eyes: the next save stands."""
    form = was(supplier)
    site.parts.callbacks.put(
        supplier.id, RECEIVED, CallbackFields("https://other.example/?k=1", enabled=False), TESTER
    )

    refused = save(supplier, url="https://mine.example/", was=form)
    kept = supplier.callback.url
    again = save(
        supplier,
        url="https://mine.example/",
        was=re.findall(r'"was" value="(\w*)"', refused.text)[1],
    )

    assert (refused.status_code, kept) == (422, "https://other.example/?k=1")
    assert "It calls https://other.example/?k=*** now, is switched off" in refused.text
    assert 'value="https://mine.example/"' in refused.text
    assert (again.status_code, supplier.callback.url) == (303, "https://mine.example/")


def test_a_disabled_callback_says_why_and_is_enabled_again(supplier: Supplier) -> None:
    """Only a person can, so that page must lead there."""
    supplier.set_columns(disabled_at=now_ms(), disabled_reason="nothing succeeded for 5d")

    page = supplier.admin.open(supplier.path("callbacks")).text
    answer = supplier.admin.send(supplier.callback_path() + "/enable")

    assert "because nothing succeeded for 5d" in page
    assert answer.status_code == 303
    assert supplier.callback.state is CallbackState.HEALTHY
    assert (supplier.callback.url, supplier.callback.headers) == (URL, HEADERS)


def test_a_failing_callback_says_since_when_and_when_it_is_tried(supplier: Supplier) -> None:
    """What a person asks first."""
    now = now_ms()
    supplier.set_columns(failing_since=now - 7_200_000, probe_at=now + 240_000, probes=4)

    page = supplier.admin.open(supplier.path("callbacks")).text

    assert re.search(r"No attempt has succeeded since [\d:A-Za-z ]+, 2 hours ago\.", page)
    assert re.search(r"the next at [\d:A-Za-z ]+, in 4 minutes\.", page)


def test_a_callback_that_is_switched_off_says_that_its_deliveries_are_held(
    supplier: Supplier,
) -> None:
    """Nothing is lost, and nothing arrives."""
    assert save(supplier, enabled=[]).status_code == 303
    assert not supplier.callback.enabled

    page = supplier.admin.open(supplier.path("callbacks")).text
    assert "It is switched off: what it would receive is held." in page


def test_deleting_a_callback_cancels_what_waits_for_it(site: Site, supplier: Supplier) -> None:
    """And counts it, as the API does."""
    add_delivery(site.database, "evt_1", supplier.callback.id, token_id=supplier.id, due_at=1)

    answer = supplier.admin.send(supplier.callback_path() + "/delete")

    assert answer.status_code == 303
    assert supplier.token.callbacks == {}
    assert site.observer.cancelled == [(RECEIVED, 1)]


def test_a_revoked_token_shows_its_callbacks_and_changes_none(
    site: Site, supplier: Supplier
) -> None:
    """It was revoked for good."""
    site.parts.tokens.revoke(supplier.id, now_ms(), TESTER)

    page = supplier.admin.open(supplier.path("callbacks")).text

    assert "This token was revoked" in page
    assert 'method="post" action="/tokens/' not in page
    assert supplier.admin.send(supplier.callback_path(), url=URL, was="").status_code == 422


@pytest.mark.parametrize("address", ["callbacks/message.deleted", "callbacks/message.received/x"])
def test_an_unknown_type_is_at_no_address(supplier: Supplier, address: str) -> None:
    """A person who mistypes an address is not misled."""
    assert supplier.admin.send(supplier.path(address), url=URL).status_code == 404


def test_a_token_without_channels_says_why_its_callbacks_stay_silent(
    site: Site, supplier: Supplier
) -> None:
    """Else a person looks for the fault at the receiver."""
    site.parts.tokens.change(
        supplier.id, lambda fields: replace(fields, channels=frozenset()), TESTER
    )

    page = supplier.admin.open(supplier.path("callbacks")).text
    assert "This token sees no channel" in page


def test_markup_in_what_is_typed_stays_text(supplier: Supplier) -> None:
    """Anyone with the role may paste what a stranger sent."""
    answer = save(supplier, url=HOSTILE, header_name=['"><img src=x>'], header_value=["<b>"])

    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_change_elsewhere_on_the_token_is_no_obstacle(site: Site, supplier: Supplier) -> None:
    """Another person switched a permission meanwhile: that is another form."""
    form = was(supplier)
    site.parts.tokens.change(supplier.id, lambda fields: replace(fields, name="ACME"), TESTER)

    assert save(supplier, url="https://mine.example/", was=form).status_code == 303
    assert supplier.callback.url == "https://mine.example/"


def test_a_change_between_the_look_and_the_save_is_not_overwritten(
    site: Site, supplier: Supplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header that someone adds in that moment would be gone."""
    put, form = Callbacks.put, was(supplier)

    def just_after_another(self: Callbacks, *given: Any) -> Callback:
        monkeypatch.setattr(Callbacks, "put", put)
        other = CallbackFields(URL, headers={"X-Other": "1"})
        put(self, supplier.id, RECEIVED, other, TESTER)
        return put(self, *given)

    monkeypatch.setattr(Callbacks, "put", just_after_another)

    assert save(supplier, url="https://mine.example/", was=form).status_code == 422
    assert supplier.callback.headers == {"X-Other": "1"}
