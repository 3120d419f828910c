"""All tokens as sheets: details, permissions, callbacks, without secrets. Called by the exports of
the API and of the command line.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.masking import masked_url
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from store.tokens.export import OwnedCallback
from web.exports.spreadsheets import Cell, Sheet, moment

_STATES = (
    DeliveryState.PENDING,
    DeliveryState.HELD,
    DeliveryState.DELIVERED,
    DeliveryState.EXHAUSTED,
    DeliveryState.SUPERSEDED,
    DeliveryState.CANCELLED,
)
_DETAILS = (
    "ID", "Name", "State", "Token hint", "Contact", "Activates (UTC)", "Expires (UTC)", "Enabled", "Channels",
    "Created (UTC)", "Last used (UTC)", "Revoked (UTC)",
    *(f"Deliveries {state}" for state in _STATES),
)  # fmt: skip
_PERMISSIONS = ("ID", "Name", *(permission.label for permission in Permission))
_CALLBACKS = (
    "Token ID", "Token name", "Token revoked (UTC)", "Event", "URL", "Enabled", "State",
    "Failing since (UTC)", "Disabled at (UTC)", "Disabled because", "Held deliveries on return",
    "Header names",
)  # fmt: skip


class SheetSource(Protocol):
    """Where the rows come from. Each sheet reads them again."""

    def tokens(self) -> Iterable[Token]:
        """Return all tokens, revoked ones included."""

    def callbacks(self) -> Iterable[OwnedCallback]:
        """Return all callbacks, with their tokens."""


def token_sheets(
    source: SheetSource, deliveries: Mapping[TokenId, Mapping[DeliveryState, int]], now: UnixMs
) -> list[Sheet]:
    """Return the three sheets, with a row per token, per token and per callback. Rows are read
    while they are written.
    """
    return [
        Sheet("Details", _DETAILS, _details(source, deliveries, now)),
        Sheet("Permissions", _PERMISSIONS, _permissions(source)),
        Sheet("Callbacks", _CALLBACKS, _callbacks(source)),
    ]


def _details(
    source: SheetSource, deliveries: Mapping[TokenId, Mapping[DeliveryState, int]], now: UnixMs
) -> Iterator[tuple[Cell, ...]]:
    for token in source.tokens():
        counts = deliveries.get(token.id, {})
        yield (
            token.id,
            token.name,
            token.state(now),
            token.hint,
            token.contact,
            moment(token.activates_at),
            moment(token.expires_at),
            token.enabled,
            "all" if token.channels is None else ", ".join(sorted(token.channels)) or "none",
            moment(token.created_at),
            moment(token.last_used_at),
            moment(token.revoked_at),
            *(counts.get(state, 0) for state in _STATES),
        )


def _permissions(source: SheetSource) -> Iterator[tuple[Cell, ...]]:
    for token in source.tokens():
        yield token.id, token.name, *(permission in token.permissions for permission in Permission)


def _callbacks(source: SheetSource) -> Iterator[tuple[Cell, ...]]:
    for token_id, token_name, token_revoked_at, callback, header_names in source.callbacks():
        health = callback.health
        yield (
            token_id,
            token_name,
            moment(token_revoked_at),
            callback.type.label,
            masked_url(callback.url),
            callback.enabled,
            callback.state,
            moment(health.failing_since),
            moment(health.disabled_at),
            health.disabled_reason,
            callback.on_resume,
            "unreadable: the secret key is missing"
            if header_names is None
            else ", ".join(header_names),
        )
