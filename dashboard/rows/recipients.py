"""The recipients of an event as rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.labels import Speaker
from schemas.deliveries.recipients import AS_THINGS_ARE_NOW, Reception, Recipient, WhyNot
from schemas.ids import DeliveryId, TokenId
from schemas.tokens.masking import host_of


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """One callback, in the person's language."""

    token_id: TokenId
    token: str
    host: str | None
    """The host that is called; None once the callback is deleted."""
    delivery_id: DeliveryId | None
    state: str
    colour: str
    """The class of the state's mark."""
    why: str
    """Why it did not get the event; empty: it did, or will."""
    is_as_now: bool
    """Whether that was judged by how things are now."""
    is_missing: bool
    """Whether the event can be sent to it by a recovery."""


def recipient_rows(to: Speaker, listed: Sequence[Recipient]) -> list[RecipientRow]:
    """Return the rows of these recipients, in their order."""
    return [
        RecipientRow(
            token_id=one.token_id,
            token=one.token_name or one.token_id,
            host=None if one.url is None else host_of(one.url),
            delivery_id=one.delivery_id,
            state=_state(to, one),
            colour=_colour(one),
            why=_why(to, one),
            is_as_now=one.note == AS_THINGS_ARE_NOW,
            is_missing=one.reason is WhyNot.MISSING,
        )
        for one in listed
    ]


def _state(to: Speaker, one: Recipient) -> str:
    say = to.say
    return {
        Reception.RECEIVED: say("Got it"),
        Reception.PENDING: say("On its way"),
        Reception.NOT: say("Did not get it"),
    }[one.state]


def _colour(one: Recipient) -> str:
    if one.state is Reception.RECEIVED:
        return "good"
    if one.reason is WhyNot.EXHAUSTED:
        return "bad"
    return "warn" if one.reason in _HELD else ""


_HELD = frozenset({WhyNot.OFF, WhyNot.DISABLED, WhyNot.SUSPENDED, WhyNot.HELD})


def _why(to: Speaker, one: Recipient) -> str:
    if one.reason is None:
        return ""
    say = to.say
    if one.reason is WhyNot.TOKEN and one.detail:
        return _of_token(to, one.detail)
    return {
        WhyNot.OFF: say("Its callback is switched off: held until it is on again."),
        WhyNot.DISABLED: say("Ringback switched its callback off: held until it is on again."),
        WhyNot.SUSPENDED: say("Its token is suspended: held until that ends."),
        WhyNot.HELD: say("Kept when its callback came back: held until it is sent again."),
        WhyNot.EXHAUSTED: say("All attempts failed."),
        WhyNot.SUPERSEDED: say("A newer status of the message took its place."),
        WhyNot.CANCELLED: say("Cancelled."),
        WhyNot.TOKEN: say("Its token was not valid."),
        WhyNot.CHANNEL: say("Its token may not see this channel."),
        WhyNot.MISSING: say("Its callback, or its right to see the channel, came after the event."),
    }[one.reason]


def _of_token(to: Speaker, detail: str) -> str:
    say = to.say
    known = {
        "the token was created after the event": say("Its token was created after the event."),
        "the token is scheduled": say("Its token is not active yet."),
        "the token is expired": say("Its token has expired."),
        "the token is revoked": say("Its token was revoked."),
        "the token was not valid yet": say("Its token was not active yet."),
    }
    return known.get(detail, say("Its token was not valid."))
