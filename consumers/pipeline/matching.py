"""From a message to a claim: whether it is an event, and which callbacks may see it. Pure but for
the directory's memory.
"""

from typing import Protocol

from exchange.port import QueuedMessage
from schemas.events.events import Event, parse_event
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.matching import Seeing, owners
from schemas.tokens.tokens import Callback, Token
from store.events.claims import Claim


class MatchingDirectory(Seeing, Protocol):
    """The tokens and callbacks of the store, as far as this process knows them."""

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
    matched = match(event, directory, now)
    # the clock of the API's host may be ahead, and lists and retention use this time
    accepted_at = min(message.accepted_at or now, now)
    claim = Claim(
        event, accepted_at, not by_the_api, tuple(matched), event.webhook_body(accepted_at)
    )
    return claim, matched


def match(event: Event, directory: MatchingDirectory, now: UnixMs) -> dict[CallbackId, TokenId]:
    """Return the callbacks that an event is for, and their tokens."""
    return owners(event.type, event.facts.channel_id, directory, now)
