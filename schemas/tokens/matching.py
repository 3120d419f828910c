"""The rule by which an event is for a callback. Pure.

The consumers claim events by it, recoveries find what is missing by it, and the list of an event's
recipients explains it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token, TokenState

_MATCHED = frozenset({TokenState.ACTIVE, TokenState.SUSPENDED})
"""Suspended tokens and callbacks that are off match too. Their deliveries are held, so that nothing
is lost (docs/invariants.md#held-is-derived).
"""


class Mismatch(StrEnum):
    """Why an event is not for the callbacks of a token."""

    TOKEN = "token"
    """The token is scheduled, expired or revoked."""

    CHANNEL = "channel"
    """The token may not see the event's channel."""


class Seeing(Protocol):
    """The callbacks that are known to a process."""

    def match(self, event_type: EventType, channel_id: str) -> Iterable[tuple[Token, Callback]]:
        """Return the callbacks that may see events of a type and channel, in any state, with their
        tokens.
        """


def mismatch(token: Token, channel_id: str, now: UnixMs) -> Mismatch | None:
    """Return why an event of this channel is not for the token's callback of its type; None: it
    is.
    """
    if token.state(now) not in _MATCHED:
        return Mismatch.TOKEN
    return None if token.sees(channel_id) else Mismatch.CHANNEL


def owners(
    event_type: EventType, channel_id: str, seeing: Seeing, now: UnixMs
) -> dict[CallbackId, TokenId]:
    """Return the callbacks that match an event type and channel, and their tokens."""
    return {
        callback.id: token.id
        for token, callback in seeing.match(event_type, channel_id)
        if mismatch(token, channel_id, now) is None
    }
