"""All tokens as a workbook to download. Called by the API and the pages."""

from collections.abc import Iterator

from flask import Response

from schemas.times import UnixMs, now_ms, to_rfc3339
from store.engine.database import Database
from store.stats.by_token import count_deliveries
from store.tokens.export import Everything
from store.tokens.vault import Vault
from web.exports.spreadsheets import Sheet
from web.exports.streaming import xlsx_download
from web.exports.token_sheets import token_sheets


def token_download(database: Database, vault: Vault) -> Response:
    """Return the workbook with today's date in its name. Raises Unavailable while another one is
    generated.
    """
    now = now_ms()
    return xlsx_download(f"ringback-tokens-{to_rfc3339(now)[:10]}", _sheets(database, vault, now))


def _sheets(database: Database, vault: Vault, now: UnixMs) -> Iterator[Sheet]:
    """Yield the sheets. Counting starts when the first is asked for, so that a request which is
    refused because of another workbook costs nothing.
    """
    counts = count_deliveries(database, lambda _: None)
    yield from token_sheets(Everything(database, vault), counts, now)
