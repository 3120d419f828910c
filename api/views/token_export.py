"""The export of all tokens as an Excel workbook."""

from collections.abc import Iterator

from flask import Response

from api.parts import ApiParts
from api.routes import Route
from schemas.log_events import LogEvent
from schemas.times import UnixMs, now_ms, to_rfc3339
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from store.stats.by_token import count_deliveries
from store.tokens.export import Everything
from web.exports.spreadsheets import Sheet
from web.exports.streaming import XLSX, xlsx_download
from web.exports.token_sheets import token_sheets


def export_tokens(parts: ApiParts, caller: Token) -> Response:
    """Download everything about all tokens, except their secrets, as an Excel workbook.

    It has three sheets: details with counts of deliveries by state, permissions, and callbacks with
    their health. Revoked tokens are included. 503 while another workbook is being generated.
    """
    now = now_ms()
    response = xlsx_download(f"ringback-tokens-{to_rfc3339(now)[:10]}", _sheets(parts, now))
    parts.observer.log(LogEvent.TOKENS_EXPORTED, by=caller.id)
    return response


def _sheets(parts: ApiParts, now: UnixMs) -> Iterator[Sheet]:
    """Yield the sheets. Counting starts when the first is asked for, so that a request which is
    refused because of another workbook costs nothing.
    """
    counts = count_deliveries(parts.database, lambda _: None)
    yield from token_sheets(Everything(parts.database, parts.vault), counts, now)


ROUTES = (
    Route(
        "GET",
        "/v1/tokens.xlsx",
        export_tokens,
        "Tokens",
        file=XLSX,
        needs=Permission.PLATFORM_ADMIN,
    ),
)
