"""The operation log of a token: who changed what, when and from where, in sentences."""

from dataclasses import dataclass

from flask import Response

from dashboard.explaining.changes import change_sentences
from dashboard.pages import Page, shown
from dashboard.views.tokens.one_token import token_of_page
from dashboard.visit import Visit
from schemas.ids import ChangeId
from schemas.times import UnixMs
from schemas.tokens.audit_log import Change
from store.tokens.audit_log import list_changes

ROWS = 50
"""Changes of a page. More: longer pages. Fewer: more pages."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One change, in the person's language."""

    id: ChangeId
    at: UnixMs
    address: str | None
    sentences: list[str]


def token_changes(visit: Visit, token_id: str) -> Response:
    """The list, newest first. It remains after the token was revoked."""
    token = token_of_page(visit, token_id)
    with visit.parts.database.read() as connection:
        found = list_changes(connection, token.id, ROWS, visit.query.get("cursor") or None)
    rows = [_row(visit, change) for change in found.rows]
    return visit.render("token_changes.html", token=token, rows=rows, next_cursor=found.next_cursor)


def _row(visit: Visit, change: Change) -> ChangeRow:
    sentences = change_sentences(visit, change)
    return ChangeRow(change.id, change.at, change.actor.address, sentences)


PAGES: tuple[Page, ...] = (shown("/tokens/<token_id>/changes", token_changes),)
