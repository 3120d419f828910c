"""Callbacks of tokens: put, deleted, found. A callback keeps its id while its URL changes, so its
deliveries stay its own.

Called by the API and the command line; whether a URL may be a target was judged before.
"""

import sqlalchemy as sa

from schemas.deliveries.withdrawal import CALLBACK_DELETED
from schemas.errors import NotFound
from schemas.events.types import EventType
from schemas.ids import TokenId, new_callback_id
from schemas.times import UnixMs
from schemas.tokens.audit_log import Action, Actor, Details, differences, of_callback
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Callback, CallbackState, Token
from store.engine.database import Connection, Database
from store.tables import callbacks
from store.tokens import audit_log
from store.tokens.callback_health import back_to_health
from store.tokens.cancellation import cancel_open, drop_requested
from store.tokens.rows import lock_token, read_token, readable, seal_headers
from store.tokens.throttling import NOT_THROTTLED
from store.tokens.vault import Vault

_CALLED = frozenset({CallbackState.HEALTHY, CallbackState.FAILING})


class Callbacks:
    """The callbacks of one database. Raises NotFound, Conflict (revoked); StoreUnavailable
    anywhere.
    """

    def __init__(self, database: Database, vault: Vault):
        self._database, self._vault = database, vault

    def get(self, token_id: TokenId, kind: EventType) -> tuple[Token, Callback]:
        """For calling it: Conflict too when what it needs for that cannot be read."""
        with self._database.read() as connection:
            token = readable(read_token(connection, self._vault, token_id))
        return token, _owned(token, kind)

    def put(
        self, token_id: TokenId, kind: EventType, fields: CallbackFields, actor: Actor
    ) -> Callback:
        with self._database.write() as connection:
            token = lock_token(connection, self._vault, token_id)
            return put_callback(
                connection, self._vault, token, kind, fields, self._database.now(connection), actor
            )

    def delete(self, token_id: TokenId, kind: EventType, actor: Actor) -> int:
        """Cancels its open deliveries, once it is gone. Returns how many."""
        with self._database.write() as connection:
            callback = _owned(lock_token(connection, self._vault, token_id), kind)
            connection.execute(sa.delete(callbacks).where(callbacks.c.id == callback.id))
            details, now = differences(of_callback(callback), {}), self._database.now(connection)
            audit_log.record(
                connection, token_id, Action.CALLBACK_DELETED, details, actor, now, kind
            )
            drop_requested(connection, [callback.id])
        return cancel_open(self._database, [callback.id], CALLBACK_DELETED)[callback.id]


def put_callback(
    connection: Connection,
    vault: Vault,
    token: Token,
    kind: EventType,
    fields: CallbackFields,
    now: UnixMs,
    actor: Actor,
) -> Callback:
    """Insert or change one of a token that this transaction has locked, and write down what
    changed. `now` is the store's.
    """
    _store(connection, vault, token, kind, fields, now)
    callback = _owned(read_token(connection, vault, token.id), kind)
    if details := _details(token, callback, fields):
        audit_log.record(connection, token.id, Action.CALLBACK_SET, details, actor, now, kind)
    return callback


def _store(
    connection: Connection,
    vault: Vault,
    token: Token,
    kind: EventType,
    fields: CallbackFields,
    now: UnixMs,
) -> None:
    known = token.callbacks.get(kind)
    callback_id = known.id if known else new_callback_id()
    columns: dict[str, object] = {"url": fields.url}
    if fields.enabled is not None or not known:
        columns["enabled"] = fields.enabled is not False
    if not known or not _keeps_headers(token, known, fields):
        columns["headers"] = seal_headers(vault, callback_id, fields.headers or {})
    if fields.held is not None:
        columns["on_resume"] = fields.held.value
    if known:
        columns |= _return(token, known, fields, now)
        connection.execute(
            sa.update(callbacks).where(callbacks.c.id == callback_id).values(columns)
        )
        return
    identity = {"id": callback_id, "token_id": token.id, "type": kind.value, "created_at": now}
    connection.execute(sa.insert(callbacks).values(identity | columns))


def bring_back(connection: Connection, token: Token, now: UnixMs) -> None:
    """Its suspended token came back. Those that are off or disabled stay so; what the others held
    is seen to.
    """
    for callback in token.callbacks.values():
        if callback.state in _CALLED:
            columns = back_to_health(callback.health.generation) | {"held_before": now}
            connection.execute(
                sa.update(callbacks).where(callbacks.c.id == callback.id).values(columns)
            )


def _return(
    token: Token, known: Callback, fields: CallbackFields, now: UnixMs
) -> dict[str, object]:
    """A callback that is enabled, or on and changed, starts afresh: what was found out about it
    does not count any more. What only says again how it is changes nothing: programs that keep a
    state say so over and over.
    """
    is_changed = fields.url != known.url or not _keeps_headers(token, known, fields)
    if not fields.enabled and not (fields.enabled is None and known.enabled and is_changed):
        says_of_kept = fields.held not in (None, known.on_resume) and known.held_before is not None
        return (
            {"backlog_pending": True, "generation": known.health.generation + 1}
            if says_of_kept
            else {}
        )
    was_held = known.state not in _CALLED
    return (
        back_to_health(known.health.generation)
        | NOT_THROTTLED
        | ({"held_before": now} if was_held else {})
    )


def _keeps_headers(token: Token, known: Callback, fields: CallbackFields) -> bool:
    """Of a token that cannot be read nobody knows what they were."""
    return fields.headers is None or (token.is_readable and fields.headers == known.headers)


def _details(token: Token, callback: Callback, fields: CallbackFields) -> Details:
    """Of headers whose values alone changed, the same names twice: that is all that can be shown of
    it.
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


def _owned(token: Token, kind: EventType) -> Callback:
    try:
        return token.callbacks[kind]
    except KeyError:
        raise NotFound(f"the token has no callback for {kind}") from None
