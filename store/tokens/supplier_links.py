"""Links to the pages of suppliers: made and ended by people, and recorded in the operation log. The
links themselves are not stored. Called by the pages.
"""

import datetime as dt
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from schemas.errors import Conflict
from schemas.ids import TokenId
from schemas.times import UnixMs, from_rfc3339, to_rfc3339
from schemas.tokens.audit_log import Action, Actor
from schemas.tokens.supplier_links import OPEN_STATES, SupplierLink, link_to
from store.engine.database import Connection, Database
from store.tables import audit_log as audit_rows
from store.tables import tokens
from store.tokens import audit_log
from store.tokens.rows import lock_token, read_token
from store.tokens.vault import Vault

MOST_LISTED = 50
"""Rows of the operation log from which links are listed. More: a longer page."""

_MADE = Action.SUPPLIER_LINK_MADE.value
_ENDING = [
    action.value for action in (Action.SUPPLIER_LINKS_ENDED, Action.REGENERATED, Action.REVOKED)
]


class SupplierLinks:
    """The links to the tokens of one database. Every method raises StoreUnavailable and NotFound."""

    def __init__(self, database: Database, vault: Vault):
        self._database, self._vault = database, vault

    def make(self, token_id: TokenId, life: dt.timedelta, actor: Actor) -> SupplierLink:
        """Return a new link. Raises Conflict when the token is in no state for it."""
        with self._database.write() as connection:
            token = read_token(connection, self._vault, token_id)
            now = self._database.now(connection)
            state = token.state(now)
            if state not in OPEN_STATES:
                raise Conflict(f"the token is {state.value}: a link to its page would not open")
            link = link_to(token, life, now)
            details = {"valid_until": (None, to_rfc3339(link.until))}
            audit_log.record(connection, token_id, Action.SUPPLIER_LINK_MADE, details, actor, now)
            return link

    def end_all(self, token_id: TokenId, actor: Actor) -> None:
        """End all links that were made so far. Raises Conflict when the token is revoked."""
        with self._database.write() as connection:
            lock_token(connection, self._vault, token_id)
            connection.execute(
                sa.update(tokens)
                .where(tokens.c.id == token_id)
                .values(links_ended=tokens.c.links_ended + 1)
            )
            now = self._database.now(connection)
            audit_log.record(connection, token_id, Action.SUPPLIER_LINKS_ENDED, {}, actor, now)


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link that was made, as the operation log has it."""

    at: UnixMs
    actor: Actor
    until: UnixMs
    is_good: bool
    """Whether it has not ended, as far as that is recorded."""


def made_links(connection: Connection, token_id: TokenId, now: UnixMs) -> list[MadeLink]:
    """Return the latest links to a token, newest first, as far as the operation log goes back."""
    newest = connection.execute(
        sa.select(audit_rows)
        .where(audit_rows.c.token_id == token_id, audit_rows.c.action.in_([_MADE, *_ENDING]))
        .order_by(audit_rows.c.id.desc())
        .limit(MOST_LISTED)
    )
    links, is_ended = [], False
    for row in newest:
        if row.action == _MADE:
            until = from_rfc3339(msgspec.json.decode(row.details)["valid_until"][1])
            is_good = not is_ended and until > now
            links.append(MadeLink(UnixMs(row.at), Actor(row.by, row.address), until, is_good))
        else:
            is_ended = True
    return links
