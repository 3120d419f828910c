"""One card for each event type: the callback as it is, the form that changes it, and its test."""

import json
from dataclasses import dataclass

from dashboard import labels
from dashboard.callbacks.form import CallbackForm, Faults
from dashboard.callbacks.health import Health, health
from dashboard.callbacks.report import Report
from dashboard.explaining.reader import Reader
from schemas.events.events import SCHEMA_VERSION
from schemas.events.samples import JsonObject, sample_event
from schemas.events.types import EventType
from schemas.tokens.masking import masked_url
from schemas.tokens.tokens import Callback, OnResume, Token


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of one event type."""

    type: EventType
    slug: str
    """The id of the card's element, which an address can end with."""
    label: str
    explanation: str
    callback: Callback | None
    url: str
    """Its address, the query hidden; empty without a callback."""
    health: Health | None
    held: str
    """What becomes of held deliveries."""
    form: CallbackForm
    faults: Faults
    sample: str
    """A whole webhook of this type."""
    data: str
    """What a test is to send."""
    report: Report | None
    """What the last test has shown; None: none was made just now."""

    @property
    def has_header_faults(self) -> bool:
        """Whether something is wrong with a header."""
        return any(field.startswith("header") for field in self.faults)

    @property
    def is_edited(self) -> bool:
        """Whether the test's data are not the sample."""
        return self.data != sample_data(self.type)


@dataclass(frozen=True, slots=True)
class Pending:
    """What was sent for one card, and did not lead to another page."""

    form: CallbackForm | None = None
    faults: Faults | None = None
    data: str | None = None
    report: Report | None = None


def cards(to: Reader, token: Token, pending: dict[EventType, Pending]) -> list[Card]:
    """Return the cards of a token."""
    return [card(to, token, kind, pending.get(kind, Pending())) for kind in EventType]


def card(to: Reader, token: Token, kind: EventType, pending: Pending) -> Card:
    """Return one card."""
    callback = token.callbacks.get(kind)
    return Card(
        type=kind,
        slug=slug_of(kind),
        label=labels.event_type(to, kind),
        explanation=_explanation(to, kind),
        callback=callback,
        url=masked_url(callback.url) if callback else "",
        health=health(to, callback) if callback else None,
        held=held_words(to)[callback.on_resume] if callback else "",
        form=pending.form or CallbackForm.of(callback),
        faults=pending.faults or {},
        sample=_text(
            {"id": "evt_…", "type": kind.value, "schema_version": SCHEMA_VERSION}
            | {name: sample_event(kind)[name] for name in ("timestamp", "data")}
        ),
        data=sample_data(kind) if pending.data is None else pending.data,
        report=pending.report,
    )


def slug_of(kind: EventType) -> str:
    """Return what an address ends with to show the card of this type."""
    return kind.value.replace(".", "-")


def sample_data(kind: EventType) -> str:
    """Return the data of the sample, laid out for reading and editing."""
    return _text(sample_event(kind)["data"])


def held_words(to: Reader) -> dict[OnResume, str]:
    """Return what may become of held deliveries, in words."""
    return {
        OnResume.RELEASE: to.say("is sent once it is back"),
        OnResume.KEEP: to.say("stays held until someone sends it again"),
        OnResume.DISCARD: to.say("is cancelled once it is back"),
    }


def _explanation(to: Reader, kind: EventType) -> str:
    return {
        EventType.CONVERSATION_CREATED: to.say("Called when a conversation begins."),
        EventType.MESSAGE_RECEIVED: to.say("Called for each message that a customer writes."),
        EventType.MESSAGE_STATUS: to.say(
            "Called when a message that was sent to a customer is queued, sent, delivered or read,"
            " or has failed."
        ),
    }[kind]


def _text(value: JsonObject) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
