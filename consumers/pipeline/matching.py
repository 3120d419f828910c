"""From a message to a claim: whether it is an event, and which callbacks may see it. Pure but for
the directory's memory.
"""

from collections.abc import Iterable
from typing import Protocol

from exchange.port import QueuedMessage
from schemas.events.events import Event, parse_event
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token, TokenState
from store.events.claims import Claim

_MATCHED = frozenset({TokenState.ACTIVE, TokenState.SUSPENDED})
"""Suspended tokens and callbacks that are off match too. Their deliveries are held, so that nothing
is lost (docs/invariants.md#held-is-derived).
"""


class MatchingDirectory(Protocol):
    """The tokens and callbacks of the store, as far as this process knows them."""

    def match(self, event_type: EventType, channel_id: str) -> Iterable[tuple[Token, Callback]]:
        """Return the callbacks that may see events of a type and channel, in any state, with their
        tokens.
        """

    def callback(self, callback_id: CallbackId) -> tuple[Token, Callback] | None:
        """Return a callback and its token; None when it is unknown."""

    def fresh(self) -> bool:
        """Return whether this knowledge is recent."""

    def refresh(self) -> None:
        """Read what has changed in the store. Blocks, and raises StoreUnavailable."""


def read(
    message: QueuedMessage, directory: MatchingDirectory, now: UnixMs
) -> tuple[Claim, dict[CallbackId, TokenId]]:
    """Return a message's claim, and the tokens of its callbacks. Raises InvalidEvent."""
    by_the_api = message.accepted_at is not None
    event = parse_event(
        message.body, message_id=message.message_id, id_required=True, accepted=by_the_api
    )
    owners = match(event, directory, now)
    # the clock of the API's host may be ahead, and lists and retention use this time
    accepted_at = min(message.accepted_at or now, now)
    claim = Claim(
        event, accepted_at, not by_the_api, tuple(owners), event.webhook_body(accepted_at)
    )
    return claim, owners


def match(event: Event, directory: MatchingDirectory, now: UnixMs) -> dict[CallbackId, TokenId]:
    """Return the callbacks that an event is for, and their tokens."""
    return owners(event.type, event.facts.channel_id, directory, now)


def owners(
    event_type: EventType, channel_id: str, directory: MatchingDirectory, now: UnixMs
) -> dict[CallbackId, TokenId]:
    """Return the callbacks that match an event type and channel, and their tokens."""
    return {
        callback.id: token.id
        for token, callback in directory.match(event_type, channel_id)
        if token.state(now) in _MATCHED
    }
