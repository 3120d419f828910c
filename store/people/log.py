"""The log about people: who did what to whom, written in the transaction of the change.

Written by the other modules of this room, and listed by the pages and the command line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.ids import change_id
from schemas.listings import Page
from schemas.people import PersonAction, PersonChange
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from store.engine.database import Connection
from store.engine.paging import Row, after, page
from store.tables import people_log

_decode_details = msgspec.json.Decoder(dict[str, tuple[Any, Any]]).decode


def record(
    connection: Connection,
    email: str,
    action: PersonAction,
    details: Mapping[str, tuple[object, object]],
    actor: Actor,
    at: UnixMs,
) -> None:
    """Log that `actor` did this to a person."""
    row = {
        "email": email,
        "at": at,
        "action": action.value,
        "by": actor.by,
        "address": actor.address,
        "details": msgspec.json.encode(details).decode(),
    }
    connection.execute(sa.insert(people_log).values(row))


def list_people_changes(
    connection: Connection, limit: int, cursor: str | None = None, email: str | None = None
) -> Page[PersonChange]:
    """Return a page of what was done to everyone, or to one person, newest first.

    Raises Invalid for a malformed cursor.
    """
    key = [people_log.c.id]
    conditions = after(key, cursor, descending=True)
    if email is not None:
        conditions.append(people_log.c.email == email)
    query = sa.select(people_log).where(*conditions).order_by(key[0].desc()).limit(limit + 1)
    return page(connection.execute(query).all(), limit, lambda row: (row.id,), _shaped)


def _shaped(rows: Sequence[Row]) -> list[PersonChange]:
    return [
        PersonChange(
            id=change_id(row.id),
            at=UnixMs(row.at),
            email=row.email,
            action=PersonAction(row.action),
            actor=Actor(row.by, row.address),
            details=_decode_details(row.details),
        )
        for row in rows
    ]
