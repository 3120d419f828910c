"""Rows of the operation log as sentences: who did what to a token."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard.explaining.changes import change_sentences
from schemas.events.types import EventType
from schemas.ids import change_id
from schemas.tokens.audit_log import COMMAND_LINE, RINGBACK, Action, Actor, Change
from tests.kit.reading import NOW, SomeReader

ANN = Actor.person("ann@example.com", "192.0.2.7")
STATUS = EventType.MESSAGE_STATUS
SECRET_A, SECRET_B = "https://x.example/?k=a", "https://x.example/?k=b"
MASKED = "https://x.example/?k=***"


def said(
    action: Action,
    details: dict[str, tuple[Any, Any]] | None = None,
    *,
    by: Actor = ANN,
    by_name: str | None = None,
    to: SomeReader | None = None,
    kind: EventType | None = None,
) -> str:
    if action.value.startswith("callback"):
        kind = STATUS
    change = Change(change_id(1), NOW, action, kind, by, by_name, details or {})
    return " ".join(change_sentences(to or SomeReader(), change))


@pytest.mark.parametrize("action", Action)
def test_every_action_is_a_sentence_whatever_was_recorded_with_it(action: Action) -> None:
    """Rows of earlier versions have other details."""
    assert said(action).endswith(".")
    assert "ann@example.com" in said(action)


def test_an_acknowledged_failure_has_its_note_with_it() -> None:
    """It says why no one has to look again."""
    made = {"failure": (None, "timeout"), "note": (None, "They mend it on Monday")}
    dropped = {"failure": ("timeout", None), "note": ("They mend it on Monday", None)}

    assert said(Action.FAILURE_ACKNOWLEDGED, made, kind=STATUS) == (
        "ann@example.com acknowledged that the callback for Message reports fails. The note: “They"
        " mend it on Monday”"
    )
    assert said(Action.FAILURE_ACKNOWLEDGED, dropped, kind=STATUS) == (
        "ann@example.com took back the acknowledgement that the callback for Message reports fails."
    )


@pytest.mark.parametrize(
    ("actor", "name", "subject"),
    [
        (ANN, "ann@example.com", "ann@example.com"),
        (COMMAND_LINE, None, "Someone at the command line"),
        (RINGBACK, None, "Ringback"),
        (Actor("tok_1", "192.0.2.1"), "Robot", "The token “Robot”"),
        (Actor("tok_gone"), None, "tok_gone"),
    ],
)
def test_the_sentence_says_who_did_it(actor: Actor, name: str | None, subject: str) -> None:
    """A person, a program, or Ringback itself."""
    assert said(Action.REVOKED, by=actor, by_name=name) == f"{subject} revoked this token for good."


@pytest.mark.parametrize(
    ("field", "before", "after", "sentence"),
    [
        ("name", "A", "B", "changed the name from “A” to “B”."),
        ("contact", None, "a@b.example", "changed the contact from none to a@b.example."),
        ("expires_at", None, "2027-01-01T00:00:00.000Z",
         "moved the expiration from never to 1 Jan 2027 00:00:00."),
        ("activates_at", "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z",
         "moved the activation from 1 Jan 2026 00:00:00 to 1 Jan 2027 00:00:00."),
        ("visibility", {"channels": ["a"]}, {"channels": None}, "let it see all channels."),
        ("visibility", {"channels": None}, {"channels": []},
         "let it see only these channels: none."),
        ("visibility", {"channels": ["a", "b"]}, {"channels": ["b"]},
         "no longer let it see these channels: a."),
        ("permissions", ["stats:read"], ["stats:read", "data:export"], "switched on: Data export."),
        ("permissions", ["of:tomorrow"], [], "switched off: of:tomorrow."),
        ("of_tomorrow", 1, 2, "changed of_tomorrow from 1 to 2."),
    ],
)  # fmt: skip
def test_each_field_has_a_sentence(field: str, before: Any, after: Any, sentence: str) -> None:
    """With both values, as far as they can be read."""
    text = said(Action.CHANGED, {field: (before, after)})

    assert text == f"ann@example.com {sentence}"


def test_what_was_added_and_what_was_removed_are_two_sentences() -> None:
    """A long list with one difference hides it."""
    text = said(Action.CHANGED, {"permissions": (["data:export"], ["stats:read"])})

    assert text == (
        "ann@example.com switched on: Stats. ann@example.com switched off: Data export."
    )


def test_many_channels_are_counted() -> None:
    """A token may have ten thousand."""
    channels = [f"chn_{number:04}" for number in range(1500)]

    text = said(Action.CHANGED, {"visibility": ({"channels": []}, {"channels": channels})})

    assert "chn_0009 and 1,490 more." in text
    assert "chn_0010" not in text


def test_times_are_those_of_the_reader() -> None:
    """A date of another zone is another day."""
    rome = SomeReader(zone=ZoneInfo("Europe/Rome"))
    moved = {"expires_at": (None, "2026-12-31T23:00:00.000Z")}

    assert "to 1 Jan 2027 00:00:00." in said(Action.CHANGED, moved, to=rome)


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ({"url": (None, SECRET_A), "enabled": (None, True), "held": (None, "release"),
          "state": (None, "healthy"), "header_names": (None, [])},
         "set the callback for Message reports to https://x.example/?k=***."),
        ({"url": ("https://a.example/", SECRET_A)},
         f"changed the address for Message reports from https://a.example/ to {MASKED}."),
        ({"url": (SECRET_A, SECRET_B)},
         f"changed the address for Message reports, in its part that is not shown: {MASKED}."),
        ({"enabled": (True, False), "state": ("healthy", "off")},
         "switched the callback for Message reports off."),
        ({"enabled": (False, True), "state": ("off", "healthy")},
         "switched the callback for Message reports on."),
        ({"state": ("disabled", "healthy")},
         "enabled the callback for Message reports again."),
        ({"held": ("release", "discard")},
         "decided that held deliveries for Message reports are cancelled."),
        ({"header_names": (["A"], ["A", "B"])},
         "added headers to the callback for Message reports: B."),
        ({"header_names": (["A"], ["A"])}, "changed headers of the callback for Message reports."),
        ({"header_names": (["A"], [])},
         "removed headers of the callback for Message reports: A."),
    ],
)  # fmt: skip
def test_what_was_set_of_a_callback_has_a_sentence_without_its_keys(
    details: dict[str, tuple[Any, Any]], sentence: str
) -> None:
    """Queries of addresses are hidden, as everywhere."""
    assert said(Action.CALLBACK_SET, details) == f"ann@example.com {sentence}"


def test_a_disabled_callback_says_why() -> None:
    """Ringback did it, and a person has to undo it."""
    text = said(
        Action.CALLBACK_DISABLED,
        {"state": ("failing", "disabled"), "disabled_reason": (None, "nothing succeeded for 5d")},
        by=RINGBACK,
    )

    assert text == ("Ringback disabled the callback for Message reports: nothing succeeded for 5d.")


@pytest.mark.parametrize(
    ("action", "start"),
    [
        (Action.REGENERATED, "ann@example.com replaced the token by a new one: rbk_…w3Zq."),
        (Action.SIGNING_SECRET_ROTATED, "ann@example.com replaced the signing secret."),
    ],
)
@pytest.mark.parametrize(
    ("until", "end"),
    [
        (None, "The previous one was valid no longer."),
        ("2026-11-23T00:00:00.000Z", "The previous one stayed valid until 23 Nov 2026 00:00:00."),
    ],
)
def test_a_replaced_secret_says_how_long_the_previous_one_lived(
    action: Action, start: str, until: str | None, end: str
) -> None:
    """Two were valid at that time."""
    details = {"previous_until": (None, until)}
    if action is Action.REGENERATED:
        details["token_hint"] = ("rbk_…0000", "rbk_…w3Zq")

    assert said(action, details) == f"{start} {end}"


def test_what_would_turn_a_sentence_around_is_spelled_out() -> None:
    """Names may hold marks that other names need."""
    text = said(Action.CHANGED, {"name": ("\u2067evil", "x" * 300)})

    assert "“\\u2067evil”" in text
    assert "x" * 201 not in text
