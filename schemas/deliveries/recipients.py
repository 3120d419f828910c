"""Who an event was for, and who did not get it and why. Pure.

`store.events.recipients` reads what is needed, the API and the pages show it. The rule is that of
the consumers: `schemas.tokens.matching`.
"""

from enum import StrEnum

import msgspec

from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import CallbackId, DeliveryId, TokenId
from schemas.listings import ListedDelivery
from schemas.times import UnixMs
from schemas.tokens.matching import Mismatch, mismatch
from schemas.tokens.tokens import Callback, CallbackState, Token

AS_THINGS_ARE_NOW = "as things are now: how it was when the event came is not recorded"


class Reception(StrEnum):
    """Whether a callback got an event."""

    RECEIVED = "received"
    PENDING = "pending"
    NOT = "not"


class WhyNot(StrEnum):
    """Why a callback did not get an event."""

    OFF = "off"
    """The callback is off: the delivery is held."""

    DISABLED = "disabled"
    """Ringback disabled the callback: the delivery is held."""

    SUSPENDED = "suspended"
    """The token is suspended: the delivery is held."""

    HELD = "held"
    """The delivery was kept when the callback came back."""

    EXHAUSTED = "exhausted"
    """All attempts failed."""

    SUPERSEDED = "superseded"
    """A newer status of the message took its place."""

    CANCELLED = "cancelled"
    """The delivery was cancelled."""

    TOKEN = "token"
    """The token was not valid: created later, scheduled or expired."""

    CHANNEL = "channel"
    """The token may not see the channel."""

    MISSING = "missing"
    """The callback, or the token's right to see the channel, came after the event."""


class Recipient(msgspec.Struct, frozen=True):
    """A callback of an event's type, and whether it got the event."""

    token_id: TokenId
    """The callback's token."""

    token_name: str | None
    """Its name; None when the token is gone."""

    callback_id: CallbackId
    """The callback."""

    url: str | None
    """The callback's URL; None once it is deleted."""

    delivery_id: DeliveryId | None
    """The delivery; None: there is none."""

    state: Reception
    """Whether it got the event."""

    reason: WhyNot | None
    """Why it did not; None unless `state` is `not`."""

    detail: str | None
    """The reason in words, where there is more to say."""

    note: str | None
    """What the reason was judged by, if not by what is recorded of the event."""


class Recipients(msgspec.Struct, frozen=True):
    """The recipients of an event, those with a delivery first."""

    listed: list[Recipient]
    """The first of them."""

    more: int
    """How many are not listed."""


_BY_STATE = {
    DeliveryState.DELIVERED: (Reception.RECEIVED, None),
    DeliveryState.PENDING: (Reception.PENDING, None),
    DeliveryState.EXHAUSTED: (Reception.NOT, WhyNot.EXHAUSTED),
    DeliveryState.SUPERSEDED: (Reception.NOT, WhyNot.SUPERSEDED),
    DeliveryState.CANCELLED: (Reception.NOT, WhyNot.CANCELLED),
}


def with_delivery(
    delivery: ListedDelivery, token: Token | None, callback: Callback | None
) -> Recipient:
    """Return the recipient that a delivery has. Without `token` or `callback` it is deleted."""
    state, reason = (
        (Reception.NOT, _why_held(token, callback))
        if delivery.state is DeliveryState.HELD
        else _BY_STATE[delivery.state]
    )
    return Recipient(
        token_id=delivery.token_id,
        token_name=token.name if token else None,
        callback_id=delivery.callback_id,
        url=delivery.url,
        delivery_id=delivery.id,
        state=state,
        reason=reason,
        detail=delivery.reason,
        note=None,
    )


def without_delivery(
    token: Token, callback: Callback, channel_id: str, came_at: UnixMs, now: UnixMs
) -> Recipient:
    """Return the recipient that a callback without a delivery is, of an event of this channel that
    was matched at `came_at`.
    """
    reason, detail, note = _why_none(token, channel_id, came_at, now)
    return Recipient(
        token_id=token.id,
        token_name=token.name,
        callback_id=callback.id,
        url=callback.url,
        delivery_id=None,
        state=Reception.NOT,
        reason=reason,
        detail=detail,
        note=note,
    )


def _why_held(token: Token | None, callback: Callback | None) -> WhyNot:
    """Return why an open delivery is held, in the order of its reason in words."""
    if callback is not None and callback.state is CallbackState.OFF:
        return WhyNot.OFF
    if callback is not None and callback.state is CallbackState.DISABLED:
        return WhyNot.DISABLED
    return WhyNot.SUSPENDED if token is not None and not token.enabled else WhyNot.HELD


def _why_none(
    token: Token, channel_id: str, came_at: UnixMs, now: UnixMs
) -> tuple[WhyNot, str, str | None]:
    """Return the reason, the same in words, and the note. Only a token's creation never changes;
    all else is as it is now.
    """
    if token.created_at > came_at:
        return WhyNot.TOKEN, "the token was created after the event", None
    found = mismatch(token, channel_id, now)
    if found is Mismatch.TOKEN:
        return WhyNot.TOKEN, f"the token is {token.state(now).value}", AS_THINGS_ARE_NOW
    if found is Mismatch.CHANNEL:
        return WhyNot.CHANNEL, "the token may not see this channel", AS_THINGS_ARE_NOW
    if token.activates_at > came_at:
        return WhyNot.TOKEN, "the token was not valid yet", AS_THINGS_ARE_NOW
    late = "the callback, or the token's right to see the channel, came after the event"
    return WhyNot.MISSING, late, AS_THINGS_ARE_NOW
