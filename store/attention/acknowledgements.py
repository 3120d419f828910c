"""Acknowledgements: a person knows of a failure, and noted what is done about it.

A row is void once its callback worked again: what begins to fail later needs attention again. So
nothing has to be deleted when a callback recovers. Called by the pages.
"""

from collections.abc import Collection

import sqlalchemy as sa

from schemas.attention import Acknowledgement
from schemas.errors import NotFound
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.audit_log import Action, Actor, Details
from store.engine import bulk
from store.engine.database import Connection, Database
from store.engine.sql_types import SqlRow
from store.tables import acknowledgements, callbacks
from store.tokens import audit_log

KEPT_MS = 90 * 24 * 60 * 60 * 1000
"""Milliseconds after which an acknowledgement ends although the failure lasts. Longer: what was
noted and forgotten stays out of sight. Shorter: people repeat themselves.
"""

_c = acknowledgements.c
_REPLACE = bulk.Upsert(["at", "by", "note"])


class Acknowledgements:
    """The acknowledgements of one database. Every method raises StoreUnavailable."""

    def __init__(self, database: Database):
        self._database = database

    def put(self, callback_id: CallbackId, kind: str, note: str, actor: Actor) -> None:
        """Acknowledge a failure, in place of what was noted before. Raises NotFound when there is
        no such callback.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            callback = _callback(connection, callback_id)
            connection.execute(sa.delete(acknowledgements).where(_c.at <= now - KEPT_MS))
            row = {
                "callback_id": callback_id,
                "kind": kind,
                "at": now,
                "by": actor.by,
                "note": note,
            }
            bulk.insert(connection, acknowledgements, [row], _REPLACE)
            _record(
                connection, callback, {"failure": (None, kind), "note": (None, note)}, actor, now
            )

    def drop(self, callback_id: CallbackId, kind: str, actor: Actor) -> None:
        """Take an acknowledgement back. Raises NotFound when there is no such callback."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            callback = _callback(connection, callback_id)
            note = connection.scalar(
                sa.delete(acknowledgements)
                .where(_c.callback_id == callback_id, _c.kind == kind)
                .returning(_c.note)
            )
            if note is not None:
                details = {"failure": (kind, None), "note": (note, None)}
                _record(connection, callback, details, actor, now)


def acknowledged(
    connection: Connection, callback_ids: Collection[CallbackId], now: UnixMs
) -> dict[tuple[CallbackId, str], Acknowledgement]:
    """Return what was acknowledged of these callbacks, by callback and kind."""
    rows = connection.execute(
        sa.select(acknowledgements).where(
            bulk.among(connection, _c.callback_id, sorted(callback_ids)), _c.at > now - KEPT_MS
        )
    )
    return {
        (CallbackId(row.callback_id), row.kind): Acknowledgement(UnixMs(row.at), row.by, row.note)
        for row in rows
    }


def _callback(connection: Connection, callback_id: CallbackId) -> SqlRow:
    row = connection.execute(
        sa.select(callbacks.c.token_id, callbacks.c.type).where(callbacks.c.id == callback_id)
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such callback any more")
    return row


def _record(
    connection: Connection,
    callback: SqlRow,
    details: Details,
    actor: Actor,
    now: UnixMs,
) -> None:
    audit_log.record(
        connection,
        TokenId(callback.token_id),
        Action.FAILURE_ACKNOWLEDGED,
        details,
        actor,
        now,
        EventType(callback.type),
    )
