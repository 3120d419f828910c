"""Rows of tokens and callbacks as values of `schemas.tokens`, and back.

Called by the store's token modules and the directory.
"""

import base64
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from secrets import token_hex

import msgspec
import sqlalchemy as sa

from schemas.errors import Conflict, NotFound, RingbackError, SecretUnreadable
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.editions import edition
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Callback, CallbackHealth, DatedSecret, OnResume, Token
from store.engine.database import Connection
from store.engine.sql_types import SqlRow
from store.history import MARKS_KEPT
from store.tables import callbacks, directory_marks, directory_version, tokens
from store.tokens.vault import SecretLocation, Vault

TokenRow = SqlRow
"""A row of `tokens` or `callbacks`."""

_decode_keys = msgspec.json.Decoder(list[tuple[str, int | None]]).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


def raise_version(connection: Connection) -> int:
    """Raise the directory's version and return it.

    Its row stays locked until the commit, so versions become visible in their order.
    """
    statement = (
        sa.update(directory_version)
        .values(version=directory_version.c.version + 1)
        .returning(directory_version.c.version)
    )
    version = int(connection.execute(statement).scalar_one())
    too_old, never_was = (
        directory_marks.c.version <= version - MARKS_KEPT,
        directory_marks.c.version >= version,
    )
    connection.execute(sa.delete(directory_marks).where(sa.or_(too_old, never_was)))
    connection.execute(sa.insert(directory_marks).values(version=version, mark=token_hex(8)))
    return version


def lock_directory(connection: Connection) -> None:
    """Keep all other transactions from changing tokens or callbacks until the commit.

    The version stays as it is: this transaction changes none either.
    """
    connection.execute(sa.select(directory_version.c.version).with_for_update())


def read_token(connection: Connection, vault: Vault, token_id: TokenId) -> Token:
    """Return this token with its callbacks, as `read_tokens` does. Raises NotFound."""
    rows = connection.execute(sa.select(tokens).where(tokens.c.id == token_id)).all()
    if not rows:
        raise NotFound(f"there is no token {token_id}")
    return read_tokens(connection, vault, rows)[0]


def readable(token: Token) -> Token:
    """Return the token, for work that needs its secrets. Raises Conflict when it has none."""
    if not token.is_readable:
        raise Conflict(
            f"the secrets of {token.id} cannot be read: RINGBACK_SECRET_KEY lacks the key that"
            " encrypted them"
        )
    return token


class ChangedMeanwhile(RingbackError):
    """A token is no longer of the edition that its change was meant for."""

    def __init__(self, current: Token):
        super().__init__(f"the token {current.id} was changed by someone else meanwhile")
        self.current = current
        """The token as it is now."""


def lock_token(
    connection: Connection,
    vault: Vault,
    token_id: TokenId,
    expected: Container[str] | None = None,
) -> Token:
    """Return the token, stamped with a new version, for changing it or its callbacks.

    The version's row is locked first, so all changes queue there and cannot deadlock. Raises
    NotFound, ChangedMeanwhile as `read_expected` does, and Conflict when the token is revoked.
    """
    version = raise_version(connection)
    token = read_expected(connection, vault, token_id, expected)
    if token.revoked_at is not None:
        raise Conflict("a revoked token cannot be changed: it was revoked for good")
    connection.execute(sa.update(tokens).where(tokens.c.id == token_id).values(version=version))
    return token


def read_expected(
    connection: Connection, vault: Vault, token_id: TokenId, expected: Container[str] | None
) -> Token:
    """Return the token, whose edition (`schemas.tokens.editions`) must be among the expected ones;
    None: whatever it is. The caller has the version's row locked.

    Raises NotFound and ChangedMeanwhile.
    """
    token = read_token(connection, vault, token_id)
    if expected is not None and edition(token) not in expected:
        raise ChangedMeanwhile(token)
    return token


def read_tokens(connection: Connection, vault: Vault, rows: Sequence[TokenRow]) -> list[Token]:
    """Return the tokens of these rows with their callbacks.

    A token whose secrets do not open comes without them (`is_readable`): people must be able to see
    it, and to end it.
    """
    return [
        _token_or_reason(row, owned, vault)[0] for row, owned in _with_callbacks(connection, rows)
    ]


def read_tokens_or_reasons(
    connection: Connection, vault: Vault, rows: Sequence[TokenRow]
) -> Iterator[tuple[Token, SecretUnreadable | None]]:
    """Yield the tokens of these rows, each with the reason why its secrets do not open, if so.

    Such a token has no secrets, and its callbacks are off. It authenticates, and its deliveries are
    held as for other callbacks that are off. But nothing is sent unsigned or without its headers.
    """
    for row, owned in _with_callbacks(connection, rows):
        token, reason = _token_or_reason(row, owned, vault)
        yield (token if reason is None else _switched_off(token)), reason


def read_token_alone(row: TokenRow) -> Token:
    """Return the token of this row without its callbacks and sealed secrets."""
    return _token(row, (), None)


def read_callback(row: TokenRow, vault: Vault | None) -> Callback:
    """Return the callback of this row; without a vault, without its headers.

    Raises SecretUnreadable when the vault does not open them.
    """
    headers = (
        {}
        if vault is None
        else _decode_headers(
            vault.open(bytes(row.headers), SecretLocation("callbacks", "headers", row.id))
        )
    )
    return Callback(
        id=CallbackId(row.id),
        token_id=TokenId(row.token_id),
        type=EventType(row.type),
        url=row.url,
        enabled=row.enabled,
        headers=headers,
        health=_health(row),
        on_resume=OnResume(row.on_resume),
        held_before=row.held_before,
    )


def _with_callbacks(
    connection: Connection, rows: Sequence[TokenRow]
) -> list[tuple[TokenRow, list[TokenRow]]]:
    owned: defaultdict[str, list[TokenRow]] = defaultdict(list)
    for row in connection.execute(
        sa.select(callbacks).where(callbacks.c.token_id.in_([row.id for row in rows]))
    ):
        owned[row.token_id].append(row)
    return [(row, owned[row.id]) for row in rows]


def seal_signing_keys(vault: Vault, token_id: TokenId, keys: Sequence[DatedSecret]) -> bytes:
    """Return the column `signing_secrets` for these keys, oldest first."""
    spelled = [(base64.b64encode(key.value).decode(), key.until) for key in keys]
    return vault.seal(
        msgspec.json.encode(spelled), SecretLocation("tokens", "signing_secrets", token_id)
    )


def seal_headers(vault: Vault, callback_id: CallbackId, headers: Mapping[str, str]) -> bytes:
    """Return the column `headers` for these headers."""
    return vault.seal(
        msgspec.json.encode(headers), SecretLocation("callbacks", "headers", callback_id)
    )


def texts(values: frozenset[str] | frozenset[Permission]) -> str:
    """Return a set as the columns `permissions` and `channels` hold it.

    Sorted, so that equal sets are equal columns.
    """
    return msgspec.json.encode(sorted(values)).decode()


def _token_or_reason(
    row: TokenRow, callback_rows: Sequence[TokenRow], vault: Vault
) -> tuple[Token, SecretUnreadable | None]:
    try:
        return _token(row, callback_rows, vault), None
    except SecretUnreadable as reason:
        return _token(row, callback_rows, None), reason


def _switched_off(token: Token) -> Token:
    return replace(
        token,
        callbacks={
            event_type: replace(callback, enabled=False)
            for event_type, callback in token.callbacks.items()
        },
    )


def _token(row: TokenRow, callback_rows: Sequence[TokenRow], vault: Vault | None) -> Token:
    """Return the token of this row; without a vault, without sealed secrets."""
    owned = [read_callback(callback, vault) for callback in callback_rows]
    return Token(
        id=TokenId(row.id),
        name=row.name,
        hint=row.hint,
        created_at=UnixMs(row.created_at),
        activates_at=UnixMs(row.activates_at),
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        enabled=row.enabled,
        permissions=frozenset(map(Permission, _decode_texts(row.permissions))),
        channels=None if row.channels is None else frozenset(_decode_texts(row.channels)),
        callbacks={callback.type: callback for callback in owned},
        last_used_at=row.last_used_at,
        hashes=_hashes(row),
        signing_keys=_signing_keys(row, vault),
        contact=row.contact,
        links_ended=row.links_ended,
    )


def _hashes(row: TokenRow) -> tuple[DatedSecret, ...]:
    current = DatedSecret(bytes(row.secret_hash))
    if row.previous_hash is None:
        return (current,)
    return DatedSecret(bytes(row.previous_hash), row.previous_until), current


def _signing_keys(row: TokenRow, vault: Vault | None) -> tuple[DatedSecret, ...]:
    if vault is None:
        return ()
    opened = _decode_keys(
        vault.open(bytes(row.signing_secrets), SecretLocation("tokens", "signing_secrets", row.id))
    )
    return tuple(
        DatedSecret(base64.b64decode(key), None if until is None else UnixMs(until))
        for key, until in opened
    )


def _health(row: TokenRow) -> CallbackHealth:
    return CallbackHealth(
        row.generation,
        row.failing_since,
        row.probe_at,
        row.probes,
        row.disabled_at,
        row.disabled_reason,
        row.throttled_until,
        row.throttled_since,
    )
