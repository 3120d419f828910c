"""The operation log: who changed what on a token.

A row is written in the transaction of its change, so neither exists without the other. Rows are
written by the store's modules that change tokens, and listed by the API and the command line.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import TokenId, change_id
from schemas.listings import Page
from schemas.times import UnixMs
from schemas.tokens.audit_log import Action, Actor, Change, Details
from schemas.tokens.masking import masked_url
from store.engine.database import Connection
from store.engine.paging import Row, after, page
from store.tables import audit_log, tokens

_decode_details = msgspec.json.Decoder(dict[str, tuple[Any, Any]]).decode


def record(
    connection: Connection,
    token_id: TokenId,
    action: Action,
    details: Details,
    actor: Actor,
    at: UnixMs,
    event_type: EventType | None = None,
) -> None:
    """Log that `actor` did this to a token, or to its callback for `event_type`."""
    row = {
        "token_id": token_id,
        "at": at,
        "action": action.value,
        "type": event_type and event_type.value,
        "by": actor.by,
        "address": actor.address,
        "details": msgspec.json.encode(details).decode(),
    }
    connection.execute(sa.insert(audit_log).values(row))


def list_changes(
    connection: Connection, token_id: TokenId, limit: int, cursor: str | None = None
) -> Page[Change]:
    """Return a page of one token's changes, newest first. Raises Invalid for a malformed cursor."""
    query = (
        sa.select(audit_log, tokens.c.name.label("by_name"))
        .join_from(audit_log, tokens, tokens.c.id == audit_log.c.by, isouter=True)
        .where(audit_log.c.token_id == token_id, *after([audit_log.c.id], cursor, descending=True))
        .order_by(audit_log.c.id.desc())
        .limit(limit + 1)
    )
    return page(connection.execute(query).all(), limit, lambda row: (row.id,), _shaped)


def _shaped(rows: Sequence[Row]) -> list[Change]:
    return [
        Change(
            id=change_id(row.id),
            at=UnixMs(row.at),
            action=Action(row.action),
            type=None if row.type is None else EventType(row.type),
            actor=(actor := Actor(row.by, row.address)),
            by_name=row.by_name or actor.email,
            details=_masked(_decode_details(row.details)),
        )
        for row in rows
    ]


def _masked(details: dict[str, tuple[Any, Any]]) -> Details:
    """Return details as people see them. They are stored whole, as older rows are."""
    if "url" not in details:
        return details
    before, after = (url and masked_url(url) for url in details["url"])
    return details | {"url": (before, after)}
