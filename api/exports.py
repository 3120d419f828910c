"""All tokens as an Excel workbook."""

import threading

from flask import Response

from api.downloads import XLSX, xlsx_download
from api.parts import ApiParts
from api.routes import Route
from api.token_sheets import token_sheets
from schemas.errors import Unavailable
from schemas.permissions import Permission
from schemas.times import now_ms, to_rfc3339
from schemas.tokens import Token
from store.delivery_counts import count_deliveries
from store.token_export import Everything

_one_at_a_time = threading.Lock()
"""A large export keeps a core busy for a minute: several at once would slow down every other answer of this process."""


def export_tokens(parts: ApiParts, caller: Token) -> Response:
    """Download everything about all tokens, but no secret, as an Excel workbook.

    One sheet each for details with counts of deliveries by state, permissions, and callbacks with their health; revoked tokens are in
    it. 503 while another one is being made.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise Unavailable("another export is just being made: try again when it is done", headers={"Retry-After": "30"})
    try:
        now = now_ms()
        counts = count_deliveries(parts.database, lambda _: None)
        made = xlsx_download(f"ringback-tokens-{to_rfc3339(now)[:10]}", token_sheets(Everything(parts.database, parts.vault), counts, now))
    finally:
        _one_at_a_time.release()
    parts.observer.note("tokens exported", by=caller.id)
    return made


ROUTES = (Route("GET", "/v1/tokens.xlsx", export_tokens, "Tokens", file=XLSX, needs=Permission.PLATFORM_ADMIN),)
