"""The forms about tokens: from fields to the body of a request, and back."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from werkzeug.datastructures import MultiDict

from dashboard.http.creation_key import new_key, token_id_in
from dashboard.tokens import details, new
from dashboard.tokens.access import (
    ALL,
    MAX_LISTED,
    PLATFORMS,
    RINGBACKS_OWN,
    SOME,
    Seen,
    boxes,
    fingerprint,
    known_permissions,
)
from dashboard.tokens.details import Details
from dashboard.tokens.faults import by_field
from dashboard.tokens.new import MAX_UNKNOWN, Link, NewToken
from dashboard.tokens.presets import presets
from schemas.errors import Fault
from schemas.events.types import EventType
from schemas.times import UnixMs, from_rfc3339, to_rfc3339
from schemas.tokens.fields import TokenFields
from schemas.tokens.permissions import Permission
from tests.kit.tokens import a_token

ROME = ZoneInfo("Europe/Rome")
NOW = from_rfc3339("2027-01-15T12:00:00Z")


def say(text: str, **values: object) -> str:
    """English, as it is in the code."""
    return text % values if values else text


def _typed(**fields: str) -> Details:
    return replace(Details(name="ACME CRM", zone="Europe/Rome"), **fields)


def _body(typed: Details, was: TokenFields | None = None) -> dict[str, object]:
    days, faults = typed.read(say)
    assert not faults
    return details.body(typed, days, was, ROME, NOW)


def test_days_become_the_start_and_the_end_of_themselves() -> None:
    """The API takes moments; people think in days."""
    body = _body(_typed(activates_on="2027-02-01", expires_on="2027-03-31"))

    assert body["activates_at"] == "2027-01-31T23:00:00.000Z"
    assert body["expires_at"] == "2027-03-31T22:00:00.000Z"


def test_a_new_token_without_days_is_valid_from_now_on_for_ever() -> None:
    """Most tokens are."""
    body = _body(_typed())

    assert (body["activates_at"], body["expires_at"]) == (None, None)


def test_a_token_that_is_saved_as_it_was_shown_keeps_its_moments() -> None:
    """Its moments are those of a program: to the millisecond, at no day's edge."""
    was = TokenFields(
        "ACME CRM", UnixMs(NOW - 86_400_123), UnixMs(NOW + 999_999_777), contact="ops@example.com"
    )

    body = _body(Details.of(was, ROME), was)

    assert body == {
        "name": "ACME CRM",
        "contact": "ops@example.com",
        "activates_at": to_rfc3339(was.activates_at),
        "expires_at": to_rfc3339(was.expires_at or UnixMs(0)),
    }


def test_a_first_day_that_is_emptied_means_now_and_never_moves_a_start_that_has_passed() -> None:
    """A token that has begun must not begin again: its log would say that it did."""
    begun, ahead = UnixMs(NOW - 5_000), UnixMs(NOW + 5_000)

    assert _body(_typed(), TokenFields("x", begun))["activates_at"] == to_rfc3339(begun)
    assert _body(_typed(), TokenFields("x", ahead))["activates_at"] == to_rfc3339(NOW)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("activates_on", "2027-02-30"),
        ("expires_on", "soon"),
        ("expires_on", "9999-12-31"),
        ("zone", "Europe/Roma"),
        ("zone", ""),
    ],
)
def test_what_is_no_day_or_zone_is_said_next_to_its_field(field: str, text: str) -> None:
    """A date that is ignored would make a token that never expires."""
    _, faults = _typed(**{field: text}).read(say)

    assert list(faults) == [field]


def test_a_last_day_before_the_first_is_said_in_days() -> None:
    """The API's own fault speaks of moments, which the person did not type."""
    _, faults = _typed(activates_on="2027-03-02", expires_on="2027-03-01").read(say)

    assert "never be valid" in faults["expires_on"]


def test_one_day_alone_is_a_whole_day() -> None:
    """First and last day may be the same."""
    body = _body(_typed(activates_on="2027-03-28", expires_on="2027-03-28"))

    assert body["activates_at"] == "2027-03-27T23:00:00.000Z"
    assert body["expires_at"] == "2027-03-28T22:00:00.000Z"


def test_a_field_that_only_the_other_person_changed_is_taken_over() -> None:
    """Saving my name must not undo the contact that someone else has set meanwhile."""
    was = _typed(contact="old@example.com")
    mine, theirs = replace(was, name="Mine"), replace(was, contact="new@example.com")

    joined, stored = details.merged(mine, was, theirs)

    assert joined == _typed(name="Mine", contact="new@example.com")
    assert stored == {"contact": "new@example.com"}


def test_a_field_that_both_changed_keeps_mine_and_shows_theirs() -> None:
    """The person chooses: neither wins by itself."""
    was = _typed()

    joined, stored = details.merged(replace(was, name="Mine"), was, replace(was, name="Theirs"))

    assert joined.name == "Mine"
    assert stored == {"name": "Theirs"}


def test_what_both_changed_alike_is_no_conflict() -> None:
    """Two people who mend the same slip agree."""
    was = _typed()

    joined, stored = details.merged(replace(was, name="Same"), was, replace(was, name="Same"))

    assert (joined.name, stored) == ("Same", {})


def test_ids_of_channels_are_ticked_typed_or_left_as_they_are() -> None:
    """A token with thousands of channels keeps those that the page has no room for."""
    form = MultiDict(
        [
            ("sees", SOME), ("channel", "a"), ("channel", "c"),
            ("listed", "a"), ("listed", "b"), ("more_channels", " d \r\n\r\ne\n"),
        ]
    )  # fmt: skip

    assert Seen.typed(form).channels(frozenset({"a", "b", "z"})) == {"a", "c", "d", "e", "z"}


def test_nothing_ticked_is_nothing_seen_and_never_everything() -> None:
    """The dangerous mistake is the one that shows all."""
    assert Seen.typed(MultiDict({"sees": SOME})).channels(None) == frozenset()
    assert Seen.typed(MultiDict()).channels() == frozenset()
    assert Seen.typed(MultiDict({"sees": ALL, "channel": "a"})).channels() is None


def test_a_form_without_the_choice_is_refused() -> None:
    """Neither all nor none is what someone meant who chose nothing."""
    form = NewToken.typed(MultiDict({"name": "ACME", "zone": "UTC"}))

    _, faults = form.body(say, NOW)

    assert "sees" in faults


def test_few_boxes_are_shown_and_those_of_recent_channels_first() -> None:
    """The page stays small however many channels a token sees."""
    many = frozenset(f"chn_{number:04}" for number in range(1000))

    shown = boxes(["seen", "chn_0007"], many)

    assert shown[:3] == ["seen", "chn_0007", "chn_0000"]
    assert len(shown) == MAX_LISTED


def test_a_fingerprint_tells_all_from_none_from_some() -> None:
    """Two people who change the visibility must notice each other."""
    prints = {fingerprint(value) for value in (None, frozenset(), frozenset("a"), frozenset("ab"))}

    assert len(prints) == 4


def test_the_switches_are_eleven_and_three() -> None:
    """Every permission has its switch, and none has two."""
    assert (len(PLATFORMS), len(RINGBACKS_OWN)) == (11, 3)
    assert {*PLATFORMS, *RINGBACKS_OWN} == set(Permission)


def test_presets_are_named_once_and_only_say_all_where_they_say_so() -> None:
    """A preset is a shortcut to what its explanation says, not to more."""
    made = presets(say)

    assert len({preset.name for preset in made}) == len(made) == 5
    for preset in made:
        assert (preset.sees == ALL) == ("all channels" in preset.explanation)
        assert Permission.PLATFORM_ADMIN not in preset.permissions


def test_a_token_like_another_has_none_of_its_secrets() -> None:
    """Headers and queries of addresses hold keys of the other supplier."""
    token = a_token(types=[EventType.MESSAGE_RECEIVED])
    callback = replace(
        token.callbacks[EventType.MESSAGE_RECEIVED],
        url="https://crm.example/hook?key=very-secret",
        headers={"x-key": "also-secret"},
    )
    token = replace(token, callbacks={EventType.MESSAGE_RECEIVED: callback})

    form = new.like(token, ROME, "Another one")

    assert form.urls == {EventType.MESSAGE_RECEIVED: "https://crm.example/hook"}
    assert form.details.name == "Another one"
    assert "secret" not in repr(form)
    assert new.has_secrets(token)
    assert not new.has_secrets(a_token())


def _link(*pairs: tuple[str, str]) -> Link:
    sent = MultiDict(pairs)
    return Link(sent, sent.keys(), ROME, say)


def test_a_link_fills_the_form() -> None:
    """The chat platform's own pages can lead to a form that only has to be checked."""
    link = _link(
        ("name", "ACME"), ("contact", "ops@example.com"), ("permission", "messages:send"),
        ("permission", "customers:read"), ("channel", "chn_1"), ("expires", "2027-03-31"),
        ("callback", "message.received=https://crm.example/hook?a=b"),
    )  # fmt: skip

    assert link.form.details == Details("ACME", "ops@example.com", "", "2027-03-31", "Europe/Rome")
    assert link.form.permissions == {Permission.MESSAGES_SEND, Permission.CUSTOMERS_READ}
    assert link.form.seen == Seen(SOME, frozenset({"chn_1"}))
    assert link.form.urls == {EventType.MESSAGE_RECEIVED: "https://crm.example/hook?a=b"}
    assert link.is_given
    assert not link.unknown


def test_what_a_link_says_that_means_nothing_is_named() -> None:
    """A permission that is silently left out would be missed weeks later."""
    link = _link(
        ("permission", "everything"), ("colour", "red"), ("expires", "soon"),
        ("zone", "Europe/Roma"), ("callback", "message.sent=https://x"),
    )  # fmt: skip

    assert sorted(link.unknown) == [
        "callback=message.sent=https://x",
        "colour",
        "expires=soon",
        "permission=everything",
        "zone=Europe/Roma",
    ]
    assert link.form.permissions == frozenset()


def test_a_link_names_at_most_some_unknown_parts_each_shortened() -> None:
    """A crafted link must not fill the page."""
    link = _link(*(("permission", f"{number}" + "x" * 5000) for number in range(50)))

    assert len(link.unknown) == MAX_UNKNOWN
    assert max(map(len, link.unknown)) < 200


def test_a_preset_alone_is_no_link_of_someone_else() -> None:
    """The page's own presets must not warn of a link."""
    link = _link(("preset", "gateway"))

    assert not link.is_given
    assert link.form.permissions == {Permission.TOKENS_INTROSPECT}
    assert link.form.seen == Seen(SOME)
    assert _link(("preset", "no such")).form == _link().form


def test_faults_of_a_body_stand_next_to_their_fields() -> None:
    """The API's pointers name what a body holds; the form has other names."""
    faults = [
        Fault("a", "/name"),
        Fault("b", "/expires_at"),
        Fault("c", "/callbacks/message.status/url"),
        Fault("d", "/visibility/channels"),
        Fault("e", "/elsewhere"),
        Fault("second", "/name"),
    ]

    assert by_field(faults, say) == {
        "name": "a",
        "expires_on": "b",
        "url.message.status": "c",
        "more_channels": "d",
        "": "e",
    }


def test_unknown_permissions_of_a_form_are_left_out() -> None:
    """The form sends what its switches hold; anything else was made up."""
    assert known_permissions(["stats:read", "root"]) == {Permission.STATS_READ}


def test_a_form_carries_the_id_of_its_token_signed() -> None:
    """Sent twice it creates one token; and no one chooses ids."""
    old, fresh = b"old key", b"new key"
    key = new_key([old])

    assert token_id_in(key, [old, fresh]) == token_id_in(key, [old])
    assert token_id_in(key, [fresh]) is None
    assert token_id_in("tok_1." + key.partition(".")[2], [old]) is None
    assert token_id_in("", [old]) is None
    assert token_id_in("tok_1.é", [old]) is None
    assert new_key([old]) != new_key([old])
