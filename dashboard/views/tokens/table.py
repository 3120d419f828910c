"""All tokens: a table with search, filters and pages, and the workbook."""

from collections.abc import Mapping
from typing import NamedTuple

from flask import Response
from pydantic import Field

from dashboard.pages import Page, shown
from dashboard.tokens.words import Words
from dashboard.visit import Visit
from schemas.log_events import LogEvent
from schemas.tokens.tokens import TokenState
from store.request_log.listing import last_use_addresses
from store.tokens.listing import TokenFilter, TokenSelection, TokenSort, page_of_tokens
from web.exports.token_download import token_download
from web.models.fields import QueryWhole, Text
from web.models.parsing import from_query
from web.models.queries import TokensQuery

ROWS = (10, 25, 50, 100)
"""How many rows a page may have, to choose from."""


class _Query(TokensQuery):
    """The address of the page: as the API's, with rows of its own number, and pages backwards."""

    limit: QueryWhole = Field(25, ge=10, le=100)
    before: Text | None = None


class _Column(NamedTuple):
    """A column of the table that can be sorted by."""

    label: str
    sort: TokenSort
    """The order of a first click."""
    other: TokenSort
    """The order of a second one."""


def tokens(visit: Visit) -> Response:
    """The table."""
    query = from_query(_Query, _given(visit))
    wanted = TokenFilter(query.search, query.state, query.sort, query.filter)
    with visit.parts.database.read() as connection:
        page = page_of_tokens(
            connection,
            visit.parts.vault,
            wanted,
            visit.now,
            query.limit,
            query.cursor,
            before=query.before,
        )
        addresses = last_use_addresses(connection, [token.id for token in page.rows])
    return visit.render(
        "tokens.html",
        page=page,
        addresses=addresses,
        words=Words(visit),
        query_of_page=query,
        is_filtered=any((query.search, query.state, query.filter)),
        columns=_columns(visit),
        states=_states(visit),
        selections=_selections(visit),
        rows=ROWS,
        docs_url=visit.parts.platform_docs_url,
    )


def tokens_workbook(visit: Visit) -> Response:
    """Everything about all tokens but their secrets, as Excel."""
    response = token_download(visit.parts.database, visit.parts.vault)
    visit.parts.observer.log(LogEvent.TOKENS_EXPORTED, by=visit.actor.by)
    return response


def _given(visit: Visit) -> list[tuple[str, list[str]]]:
    """Return the parameters of the address. A form without scripts also sends empty ones."""
    return [(name, values) for name, values in visit.query.lists() if any(values)]


def _columns(visit: Visit) -> Mapping[str, _Column]:
    say = visit.say
    return {
        "name": _Column(say("Name"), TokenSort.NAME, TokenSort.NAME_DESCENDING),
        "expires": _Column(say("Expires"), TokenSort.EXPIRES, TokenSort.EXPIRES_DESCENDING),
        "used": _Column(say("Last use"), TokenSort.USED_DESCENDING, TokenSort.USED),
    }


def _states(visit: Visit) -> Mapping[TokenState, str]:
    say = visit.say
    return {
        TokenState.ACTIVE: say("Active"),
        TokenState.SCHEDULED: say("Scheduled"),
        TokenState.SUSPENDED: say("Suspended"),
        TokenState.EXPIRED: say("Expired"),
        TokenState.REVOKED: say("Revoked"),
    }


def _selections(visit: Visit) -> Mapping[TokenSelection, str]:
    say = visit.say
    return {
        TokenSelection.EXPIRING: say("expires within 30 days"),
        TokenSelection.NEVER_EXPIRES: say("never expires"),
        TokenSelection.UNUSED: say("unused for 90 days"),
        TokenSelection.WITHOUT_CALLBACKS: say("without callbacks"),
        TokenSelection.FAILING: say("with a failing callback"),
    }


PAGES: tuple[Page, ...] = (
    shown("/tokens", tokens),
    shown("/tokens.xlsx", tokens_workbook),
)
