"""Callbacks of tokens: read, put, deleted. A callback keeps its id while its URL changes, and so
its deliveries.

Called by the API and the command line, which have checked that the URL may be a target.
"""

from collections.abc import Container

import sqlalchemy as sa

from schemas.deliveries.callback_health import MAY_BE_CALLED
from schemas.deliveries.cancel_reason import CancelReason
from schemas.errors import NotFound
from schemas.events.types import EventType
from schemas.ids import TokenId, new_callback_id
from schemas.times import UnixMs
from schemas.tokens.audit_log import Action, Actor, Details, differences, of_callback
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Callback, Token
from store.engine.database import Connection, Database
from store.tables import callbacks
from store.tokens import audit_log
from store.tokens.callback_health import back_to_health
from store.tokens.callback_throttling import NOT_THROTTLED
from store.tokens.cancellation import cancel_open, drop_requested
from store.tokens.rows import lock_token, read_token, readable, seal_headers
from store.tokens.vault import Vault


class Callbacks:
    """The callbacks of one database.

    Every method raises StoreUnavailable, NotFound, and Conflict when the token is revoked.
    """

    def __init__(self, database: Database, vault: Vault):
        self._database, self._vault = database, vault

    def get(self, token_id: TokenId, event_type: EventType) -> tuple[Token, Callback]:
        """Return a callback, for calling it, and its token.

        Raises Conflict also when the secrets that a call needs cannot be read.
        """
        with self._database.read() as connection:
            token = readable(read_token(connection, self._vault, token_id))
        return token, _owned(token, event_type)

    def put(
        self,
        token_id: TokenId,
        event_type: EventType,
        fields: CallbackFields,
        actor: Actor,
        expected: Container[str] | None = None,
    ) -> Callback:
        """Create or change the callback for an event type. Return it.

        Raises ChangedMeanwhile as `lock_token` does.
        """
        with self._database.write() as connection:
            token = lock_token(connection, self._vault, token_id, expected)
            return put_callback(
                connection,
                self._vault,
                token,
                event_type,
                fields,
                self._database.now(connection),
                actor,
            )

    def delete(
        self,
        token_id: TokenId,
        event_type: EventType,
        actor: Actor,
        expected: Container[str] | None = None,
    ) -> int:
        """Delete a callback, then cancel its open deliveries. Return how many were cancelled.

        Raises ChangedMeanwhile as `lock_token` does.
        """
        with self._database.write() as connection:
            token = lock_token(connection, self._vault, token_id, expected)
            callback = _owned(token, event_type)
            connection.execute(sa.delete(callbacks).where(callbacks.c.id == callback.id))
            details, now = differences(of_callback(callback), {}), self._database.now(connection)
            audit_log.record(
                connection, token_id, Action.CALLBACK_DELETED, details, actor, now, event_type
            )
            drop_requested(connection, [callback.id])
        return cancel_open(self._database, [callback.id], CancelReason.CALLBACK_DELETED)[
            callback.id
        ]


def put_callback(
    connection: Connection,
    vault: Vault,
    token: Token,
    event_type: EventType,
    fields: CallbackFields,
    now: UnixMs,
    actor: Actor,
) -> Callback:
    """Create or change a callback of a token that this transaction has locked, and log the change.

    `now` is the store's time.
    """
    _store(connection, vault, token, event_type, fields, now)
    callback = _owned(read_token(connection, vault, token.id), event_type)
    if details := _details(token, callback, fields):
        audit_log.record(connection, token.id, Action.CALLBACK_SET, details, actor, now, event_type)
    return callback


def _store(
    connection: Connection,
    vault: Vault,
    token: Token,
    event_type: EventType,
    fields: CallbackFields,
    now: UnixMs,
) -> None:
    known = token.callbacks.get(event_type)
    callback_id = known.id if known else new_callback_id()
    columns: dict[str, object] = {"url": fields.url}
    if fields.enabled is not None or not known:
        columns["enabled"] = fields.enabled is not False
    if not known or not _keeps_headers(token, known, fields):
        columns["headers"] = seal_headers(vault, callback_id, fields.headers or {})
    if fields.held is not None:
        columns["on_resume"] = fields.held.value
    if known:
        columns |= _resumed(token, known, fields, now)
        connection.execute(
            sa.update(callbacks).where(callbacks.c.id == callback_id).values(columns)
        )
        return
    identity = {
        "id": callback_id,
        "token_id": token.id,
        "type": event_type.value,
        "created_at": now,
    }
    connection.execute(sa.insert(callbacks).values(identity | columns))


def resume(connection: Connection, token: Token, now: UnixMs) -> None:
    """Resume the callbacks of a token that is no longer suspended.

    Callbacks that are off or disabled stay so. The held deliveries of the others are then released,
    kept or discarded.
    """
    for callback in token.callbacks.values():
        if callback.state in MAY_BE_CALLED:
            columns = back_to_health(callback.health.generation) | {"held_before": now}
            connection.execute(
                sa.update(callbacks).where(callbacks.c.id == callback.id).values(columns)
            )


def _resumed(
    token: Token, known: Callback, fields: CallbackFields, now: UnixMs
) -> dict[str, object]:
    """Return the columns of a callback that starts again: one that is enabled, or on and changed.

    What attempts found out about it before does not count any more. A put that repeats the state as
    it is changes nothing: programs that maintain a state send it over and over.
    """
    is_changed = fields.url != known.url or not _keeps_headers(token, known, fields)
    if not fields.enabled and not (fields.enabled is None and known.enabled and is_changed):
        decides_on_kept = (
            fields.held not in (None, known.on_resume) and known.held_before is not None
        )
        return (
            {"backlog_pending": True, "generation": known.health.generation + 1}
            if decides_on_kept
            else {}
        )
    was_held = known.state not in MAY_BE_CALLED
    return (
        back_to_health(known.health.generation)
        | NOT_THROTTLED
        | ({"held_before": now} if was_held else {})
    )


def _keeps_headers(token: Token, known: Callback, fields: CallbackFields) -> bool:
    """Return whether the headers stay as they are. Those of an unreadable token are not known."""
    return fields.headers is None or (token.is_readable and fields.headers == known.headers)


def _details(token: Token, callback: Callback, fields: CallbackFields) -> Details:
    """Return what changed, for the operation log.

    If only values of headers changed, old and new list the same names: values are secret.
    """
    known = token.callbacks.get(callback.type)
    details = differences(of_callback(known), of_callback(callback))
    if known is None or _keeps_headers(token, known, fields):
        return details
    return {
        **details,
        "header_names": (
            sorted(known.headers) if token.is_readable else None,
            sorted(fields.headers or {}),
        ),
    }


def _owned(token: Token, event_type: EventType) -> Callback:
    try:
        return token.callbacks[event_type]
    except KeyError:
        raise NotFound(f"the token has no callback for {event_type}") from None
