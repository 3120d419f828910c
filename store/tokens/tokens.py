"""Tokens: created, read, changed, revoked, and their secrets replaced.

Each change is one transaction. It raises the directory's version, so every process learns of it
within a second, and it writes the operation log. A secret is returned once, as text, when it is
created; only the signing secret can be shown again. Called by the API and the command line.

`now` is the store's time everywhere (`Database.time`). Events are matched by that clock, so a token
that is to be active from now on is active for them too.
"""

import datetime as dt
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from schemas.deliveries.cancel_reason import CancelReason
from schemas.errors import Conflict, Invalid
from schemas.events.types import EventType
from schemas.folding import folded
from schemas.ids import TokenId, new_token_id
from schemas.times import UnixMs
from schemas.tokens.audit_log import (
    Action,
    Actor,
    differences,
    edits,
    of_fields,
    of_secret,
    of_signing_secret,
)
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.secrets import (
    new_signing_secret,
    new_token,
    signing_key,
    signing_secret_text,
    token_hash,
    token_hint,
)
from schemas.tokens.tokens import DatedSecret, Token, TokenState
from store.engine.database import Connection, Database
from store.tables import tokens
from store.tokens import audit_log
from store.tokens.callbacks import put_callback, resume
from store.tokens.cancellation import cancel_open, drop_requested
from store.tokens.listing import known_tokens
from store.tokens.rotation import overlap_ms, overlapping
from store.tokens.rows import (
    lock_token,
    raise_version,
    read_expected,
    read_token,
    readable,
    seal_signing_keys,
    texts,
)
from store.tokens.vault import Vault


@dataclass(frozen=True, slots=True)
class NewSecrets:
    """A token that was just created or regenerated, with its secrets as text."""

    token: Token
    secret: str = field(repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    """The new signing secret; None: it is still the one before."""


class Tokens:
    """The tokens of one database.

    Every method raises StoreUnavailable, and NotFound, Conflict or Invalid where they apply.
    """

    def __init__(self, database: Database, vault: Vault, max_life: dt.timedelta | None = None):
        """Take the longest life that may be given to a token; None: it may be valid for ever."""
        self._database, self._vault, self._max_life = database, vault, max_life

    def create(
        self,
        fields: TokenFields,
        callbacks: Mapping[EventType, CallbackFields],
        now: UnixMs,
        actor: Actor,
        token_id: TokenId | None = None,
    ) -> NewSecrets:
        """Create a token with its callbacks. Return it with both secrets.

        `token_id`: an id of `new_token_id` that the caller keeps, to create nothing twice. Raises
        Conflict when there is a token of that id.
        """
        self._require(fields, has_new_dates=True)
        token_id = token_id or new_token_id()
        secret, signing_secret = new_token(), new_signing_secret()
        keys = [DatedSecret(signing_key(signing_secret))]
        row = {
            "id": token_id,
            "hint": token_hint(secret),
            "secret_hash": token_hash(secret),
            "signing_secrets": seal_signing_keys(self._vault, token_id, keys),
            "created_at": now,
        }
        with self._database.write() as connection:
            version = raise_version(connection)  # another one of the same id waits here
            if known_tokens(connection, [token_id]):
                raise Conflict(f"there is a token {token_id} already: nothing was created")
            connection.execute(
                sa.insert(tokens).values(row | _columns(fields) | {"version": version})
            )
            audit_log.record(
                connection, token_id, Action.CREATED, differences({}, of_fields(fields)), actor, now
            )
            token = read_token(connection, self._vault, token_id)
            for event_type, callback in callbacks.items():
                put_callback(connection, self._vault, token, event_type, callback, now, actor)
            return NewSecrets(read_token(connection, self._vault, token_id), secret, signing_secret)

    def get(self, token_id: TokenId) -> Token:
        """Return this token with its callbacks, in any state."""
        with self._database.read() as connection:
            return self.get_in(connection, token_id)

    def get_in(self, connection: Connection, token_id: TokenId) -> Token:
        """Return this token with its callbacks, within the caller's transaction."""
        return read_token(connection, self._vault, token_id)

    def change(
        self,
        token_id: TokenId,
        edit: Callable[[TokenFields], TokenFields],
        actor: Actor,
        expected: Container[str] | None = None,
    ) -> Token:
        """Change a token to the fields that `edit` returns.

        `edit` is given the fields as they are under the lock, so that two changes at the same time
        do not undo each other. Raises ChangedMeanwhile as `lock_token` does.
        """
        with self._database.write() as connection:
            known = lock_token(connection, self._vault, token_id, expected)
            before, now = TokenFields.of(known), self._database.now(connection)
            fields = edit(before)
            self._require(fields, has_new_dates=_dates(fields) != _dates(before))
            if fields.enabled and not known.enabled:
                resume(connection, known, now)
            for action, details in edits(before, fields):
                audit_log.record(connection, token_id, action, details, actor, now)
            return self._update(connection, token_id, _columns(fields))

    def revoke(
        self,
        token_id: TokenId,
        now: UnixMs,
        actor: Actor,
        expected: Container[str] | None = None,
    ) -> dict[EventType, int]:
        """Revoke a token for good, and cancel its open deliveries. Return how many, by type.

        Revoking again cancels what is still open: the process that did so before may have died
        before the end. Raises ChangedMeanwhile as `lock_token` does.
        """
        with self._database.write() as connection:
            version = raise_version(connection)
            token = read_expected(connection, self._vault, token_id, expected)
            callback_ids = [callback.id for callback in token.callbacks.values()]
            if token.revoked_at is None:
                connection.execute(
                    sa.update(tokens)
                    .where(tokens.c.id == token_id)
                    .values(revoked_at=now, version=version)
                )
                audit_log.record(
                    connection,
                    token_id,
                    Action.REVOKED,
                    {"state": (token.state(now), TokenState.REVOKED)},
                    actor,
                    now,
                )
                drop_requested(connection, callback_ids)
        totals = cancel_open(self._database, callback_ids, CancelReason.TOKEN_REVOKED)
        return {
            event_type: totals[callback.id]
            for event_type, callback in token.callbacks.items()
            if totals[callback.id]
        }

    def regenerate(
        self,
        token_id: TokenId,
        overlap: dt.timedelta,
        now: UnixMs,
        actor: Actor,
        expected: Container[str] | None = None,
    ) -> NewSecrets:
        """Replace a token's secret. The old one lives on for `overlap`; any older one ends now.

        Raises ChangedMeanwhile as `lock_token` does: asked twice by mistake, it would end the secret
        that was to live on.
        """
        until = now + overlap_ms(overlap)
        secret = new_token()
        with self._database.write() as connection:
            known = lock_token(connection, self._vault, token_id, expected)
            current = known.hashes[-1].value
            changed = {
                "secret_hash": token_hash(secret),
                "hint": token_hint(secret),
                "previous_hash": current if overlap else None,
                "previous_until": until if overlap else None,
            }
            token = self._update(connection, token_id, changed)
            audit_log.record(
                connection,
                token_id,
                Action.REGENERATED,
                differences(of_secret(known), of_secret(token)),
                actor,
                now,
            )
            return NewSecrets(token, secret)

    def rotate_signing_secret(
        self, token_id: TokenId, overlap: dt.timedelta, now: UnixMs, actor: Actor
    ) -> str:
        """Create a new signing secret. Live ones sign alongside it for at most `overlap`.

        Raises Conflict when they are too many, and when they cannot be read: a process with the
        wrong key must not replace what the others use.
        """
        until = UnixMs(now + overlap_ms(overlap))
        secret = new_signing_secret()
        with self._database.write() as connection:
            known = readable(lock_token(connection, self._vault, token_id))
            keys = [*overlapping(known.signing_keys, until, now), DatedSecret(signing_key(secret))]
            token = self._update(
                connection,
                token_id,
                {"signing_secrets": seal_signing_keys(self._vault, token_id, keys)},
            )
            details = differences(of_signing_secret(known), of_signing_secret(token))
            audit_log.record(
                connection, token_id, Action.SIGNING_SECRET_ROTATED, details, actor, now
            )
        return secret

    def signing_secret(self, token_id: TokenId, actor: Actor) -> str:
        """Return the current signing secret, as text, and log that it was shown.

        Raises Conflict when it cannot be read.
        """
        with self._database.write() as connection:
            key = readable(self.get_in(connection, token_id)).signing_keys[-1].value
            audit_log.record(
                connection,
                token_id,
                Action.SIGNING_SECRET_SHOWN,
                {},
                actor,
                self._database.now(connection),
            )
        return signing_secret_text(key)

    def _require(self, fields: TokenFields, *, has_new_dates: bool) -> None:
        """Raise Invalid for fields that cannot be. Dates that were allowed once may stay."""
        faults = fields.faults()
        # A token that would never be valid has that fault alone.
        if has_new_dates and self._max_life is not None and not faults:
            faults += filter(None, [fields.life_fault(self._max_life)])
        if faults:
            raise Invalid("invalid token", faults=faults)

    def _update(
        self, connection: Connection, token_id: TokenId, columns: Mapping[str, object]
    ) -> Token:
        connection.execute(sa.update(tokens).where(tokens.c.id == token_id).values(columns))
        return read_token(connection, self._vault, token_id)


def _dates(fields: TokenFields) -> tuple[UnixMs, UnixMs | None]:
    return fields.activates_at, fields.expires_at


def _columns(fields: TokenFields) -> dict[str, object]:
    return {
        "name": fields.name,
        "folded": folded(fields.name),
        "activates_at": fields.activates_at,
        "expires_at": fields.expires_at,
        "enabled": fields.enabled,
        "permissions": texts(fields.permissions),
        "channels": None if fields.channels is None else texts(fields.channels),
        "contact": fields.contact,
    }
