"""Reasons why a delivery will never be sent: its callback was deleted, or its token has ended or no
longer sees the event's channel. Pure.

The dispatcher checks them before each attempt, with the directory's data. The store checks them
again in the transaction that cancels a delivery for good (`store.deliveries.withdrawal`).
"""

from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import Delivery, Trigger
from schemas.times import UnixMs
from schemas.tokens.tokens import Token, TokenState

_ENDED = {
    TokenState.REVOKED: CancelReason.TOKEN_REVOKED,
    TokenState.EXPIRED: CancelReason.TOKEN_EXPIRED,
}


def ended(token: Token | None, now: UnixMs) -> CancelReason | None:
    """Return why a callback of this token will never be called again, or None. Without a token the
    callback does not exist.
    """
    return CancelReason.CALLBACK_DELETED if token is None else _ENDED.get(token.state(now))


def withdrawal_reason(token: Token | None, delivery: Delivery, now: UnixMs) -> CancelReason | None:
    """Return why a delivery will never be sent, or None. A test sends a sample, whose channel does
    not exist, so channels do not matter there.
    """
    if token is None or token.sees(delivery.channel_id) or delivery.trigger is Trigger.TEST:
        return ended(token, now)
    return ended(token, now) or CancelReason.CHANNEL_REMOVED
