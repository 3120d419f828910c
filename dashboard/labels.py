"""Names of states, outcomes and causes in the person's language, and how each is coloured. Given to
templates as `labels`.
"""

from typing import Protocol

from schemas.deliveries.deliveries import DeliveryState, Outcome, Trigger
from schemas.deliveries.phases import Phases
from schemas.deliveries.recoveries import Recoverable, RecoveryState
from schemas.events.types import EventType


class Speaker(Protocol):
    """Who says a text in the person's language: a visit."""

    def say(self, text: str, **values: object) -> str: ...


STATE_COLOURS = {
    DeliveryState.PENDING: "",
    DeliveryState.DELIVERED: "good",
    DeliveryState.EXHAUSTED: "bad",
    DeliveryState.SUPERSEDED: "",
    DeliveryState.CANCELLED: "",
    DeliveryState.HELD: "warn",
}
"""The class of a state's mark; empty: the quiet one."""


def delivery_state(to: Speaker, state: DeliveryState) -> str:
    """Return the name of a delivery's state."""
    say = to.say
    return {
        DeliveryState.PENDING: say("Waiting"),
        DeliveryState.DELIVERED: say("Delivered"),
        DeliveryState.EXHAUSTED: say("Given up"),
        DeliveryState.SUPERSEDED: say("Overtaken"),
        DeliveryState.CANCELLED: say("Cancelled"),
        DeliveryState.HELD: say("Held"),
    }[state]


def outcome(to: Speaker, kind: Outcome) -> str:
    """Return the name of how an attempt ended."""
    say = to.say
    return {
        Outcome.DELIVERED: say("Delivered"),
        Outcome.HTTP_3XX: say("Redirected"),
        Outcome.HTTP_4XX: say("Refused"),
        Outcome.HTTP_5XX: say("Receiver's error"),
        Outcome.GONE: say("Wants no more"),
        Outcome.THROTTLED: say("Asked to wait"),
        Outcome.TIMEOUT: say("Timed out"),
        Outcome.TOO_SLOW: say("Too slow"),
        Outcome.CONNECT: say("No connection"),
        Outcome.TLS: say("No secure connection"),
        Outcome.DNS: say("Host not found"),
        Outcome.PROTOCOL: say("No proper answer"),
        Outcome.BLOCKED: say("Address not allowed"),
    }[kind]


def trigger(to: Speaker, cause: Trigger) -> str:
    """Return the name of an attempt's cause."""
    say = to.say
    return {
        Trigger.FIRST: say("First attempt"),
        Trigger.RETRY: say("Retry"),
        Trigger.MANUAL: say("By hand"),
        Trigger.RECOVER: say("Sent again"),
        Trigger.TEST: say("Test"),
        Trigger.PROBE: say("Trial"),
    }[cause]


def phases(to: Speaker, spent: Phases) -> list[tuple[str, int]]:
    """Return the names of the phases that there were, with their milliseconds."""
    say = to.say
    named = [
        (say("Looking up the host"), spent.dns_ms),
        (say("Connecting"), spent.connect_ms),
        (say("Securing the connection"), spent.tls_ms),
        (say("Waiting for the answer"), spent.wait_ms),
    ]
    return [(name, ms) for name, ms in named if ms is not None]


def event_type(to: Speaker, kind: EventType) -> str:
    """Return the name of an event type."""
    say = to.say
    return {
        EventType.CONVERSATION_CREATED: say("New Conversation"),
        EventType.MESSAGE_RECEIVED: say("New Message"),
        EventType.MESSAGE_STATUS: say("Message reports"),
    }[kind]


def recoverable(to: Speaker, what: Recoverable) -> str:
    """Return the name of what can be sent again."""
    say = to.say
    return {
        Recoverable.EXHAUSTED: say("Given up"),
        Recoverable.HELD: say("Held"),
        Recoverable.MISSING: say("Never made, although the token may see the event now"),
    }[what]


def recovery_state(to: Speaker, state: RecoveryState) -> str:
    """Return the name of a recovery's state."""
    say = to.say
    return {
        RecoveryState.RUNNING: say("Running"),
        RecoveryState.DONE: say("Done"),
        RecoveryState.CANCELLED: say("Stopped"),
    }[state]
