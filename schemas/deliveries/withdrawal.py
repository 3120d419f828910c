"""Why a delivery will never be sent: its callback is gone, its token has ended, or no longer sees
the event's channel. Pure.

Asked of what memory knows before each attempt, which is then not made, and of what the store says
in the transaction that cancels a delivery for good (`store.deliveries.withdrawal`).
"""

from schemas.deliveries.deliveries import Delivery, Trigger
from schemas.times import UnixMs
from schemas.tokens.tokens import Token, TokenState

CALLBACK_DELETED = "the callback was deleted"
TOKEN_REVOKED = "the token was revoked"
TOKEN_EXPIRED = "the token has expired"
CHANNEL_TAKEN = "the token may no longer see this channel"

_ENDED = {TokenState.REVOKED: TOKEN_REVOKED, TokenState.EXPIRED: TOKEN_EXPIRED}


def ended(token: Token | None, now: UnixMs) -> str | None:
    """Why a callback of this token will never be called again; None when it may be. Without a token
    there is no such callback.
    """
    return CALLBACK_DELETED if token is None else _ENDED.get(token.state(now))


def withdrawal_reason(token: Token | None, delivery: Delivery, now: UnixMs) -> str | None:
    """Why this delivery will never be sent; None when it may be. A test shows a sample, which is of
    no channel that there is.
    """
    if token is None or token.sees(delivery.channel_id) or delivery.trigger is Trigger.TEST:
        return ended(token, now)
    return ended(token, now) or CHANNEL_TAKEN
