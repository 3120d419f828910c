"""Tokens for tests, with the fields that the test does not care about filled in."""

from collections.abc import Iterable

from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from schemas.tokens.fields import TokenFields
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Callback, DatedSecret, Token

TESTER = Actor("a test", "192.0.2.1")
"""Who changes tokens here."""


def a_token(
    number: int = 1,
    *,
    channels: Iterable[str] | None = None,
    types: Iterable[EventType] = (EventType.MESSAGE_RECEIVED,),
    activates_at: int = 0,
    expires_at: int | None = None,
    revoked_at: int | None = None,
    enabled: bool = True,
    hashes: tuple[DatedSecret, ...] | None = None,
) -> Token:
    """A token with a callback per type, whose ids follow from `number`."""
    token_id = TokenId(f"tok_{number}")
    callbacks = {
        kind: Callback(
            CallbackId(f"{number}-{kind}"), token_id, kind, "https://x.example/", True, {}
        )
        for kind in types
    }
    return Token(
        id=token_id,
        name=f"token {number}",
        hint="rbk_…0000",
        created_at=UnixMs(0),
        activates_at=UnixMs(activates_at),
        expires_at=None if expires_at is None else UnixMs(expires_at),
        revoked_at=None if revoked_at is None else UnixMs(revoked_at),
        enabled=enabled,
        permissions=frozenset(),
        channels=None if channels is None else frozenset(channels),
        callbacks=callbacks,
        last_used_at=None,
        hashes=(DatedSecret(f"hash {number}".encode()),) if hashes is None else hashes,
        signing_keys=(DatedSecret(b"k" * 32),),
    )


def token_fields(
    name: str = "ACME CRM",
    *permissions: Permission,
    channels: Iterable[str] | None = None,
    enabled: bool = True,
) -> TokenFields:
    """Active since 1970."""
    seen = None if channels is None else frozenset(channels)
    return TokenFields(
        name, UnixMs(0), permissions=frozenset(permissions), channels=seen, enabled=enabled
    )
