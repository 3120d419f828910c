"""The export of all tokens as an Excel workbook."""

from flask import Response

from api.parts import ApiParts
from api.routes import Route
from schemas.log_events import LogEvent
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from web.exports.streaming import XLSX
from web.exports.token_download import token_download


def export_tokens(parts: ApiParts, caller: Token) -> Response:
    """Download everything about all tokens, except their secrets, as an Excel workbook.

    It has three sheets: details with counts of deliveries by state, permissions, and callbacks with
    their health. Revoked tokens are included. 503 while another workbook is being generated.
    """
    response = token_download(parts.database, parts.vault)
    parts.observer.log(LogEvent.TOKENS_EXPORTED, by=caller.id)
    return response


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
