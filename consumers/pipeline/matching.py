"""From a message to a claim: is it an event, and which callbacks may see it? Pure but for the
directory's memory.
"""

from collections.abc import Iterable
from typing import Protocol

from exchange.port import Message
from schemas.events.events import Event, parse_event
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token, TokenState
from store.events.claims import Claim

_MATCHED = frozenset({TokenState.ACTIVE, TokenState.SUSPENDED})
"""Suspended tokens and callbacks that are off match too: their deliveries are held, so that nothing
vanishes (docs/invariants.md#held-is-derived).
"""


class MatchingDirectory(Protocol):
    """Which callbacks may see events of a type and channel, whatever their state."""

    def match(self, kind: EventType, channel_id: str) -> Iterable[tuple[Token, Callback]]: ...
    def callback(self, callback_id: CallbackId) -> tuple[Token, Callback] | None: ...
    def fresh(self) -> bool:
        """Whether what it knows is recent."""

    def refresh(self) -> None:
        """Learn now what has changed in the store. Blocks; raises StoreUnavailable."""


def read(
    message: Message, directory: MatchingDirectory, now: UnixMs
) -> tuple[Claim, dict[CallbackId, TokenId]]:
    """The claim that this message makes, and whose its callbacks are. Raises InvalidEvent."""
    by_the_api = message.accepted_at is not None
    event = parse_event(
        message.body, message_id=message.message_id, id_required=True, accepted=by_the_api
    )
    owners = match(event, directory, now)
    accepted_at = min(
        message.accepted_at or now, now
    )  # that host's clock may be ahead: lists and the retention go by this
    claim = Claim(
        event, accepted_at, not by_the_api, tuple(owners), event.webhook_body(accepted_at)
    )
    return claim, owners


def match(event: Event, directory: MatchingDirectory, now: UnixMs) -> dict[CallbackId, TokenId]:
    """The callbacks that this event is for, and their tokens."""
    return owners(event.type, event.facts.channel_id, directory, now)


def owners(
    kind: EventType, channel_id: str, directory: MatchingDirectory, now: UnixMs
) -> dict[CallbackId, TokenId]:
    """The same, by what it goes by."""
    return {
        callback.id: token.id
        for token, callback in directory.match(kind, channel_id)
        if token.state(now) in _MATCHED
    }
