"""A token's requests as a file to download, newest first. Called by the API and the pages, which
have found the token.
"""

from flask import Response

from schemas.ids import TokenId
from schemas.request_log import RequestFilter
from store.engine.database import Database
from store.request_log.listing import every_request
from web.exports.request_sheets import requests_sheet
from web.exports.streaming import csv_download, with_row_limit, xlsx_download


def requests_csv_download(
    database: Database, token_id: TokenId, wanted: RequestFilter, *, for_excel: bool
) -> Response:
    """Return a CSV file, which is read while it is sent."""
    sheet = requests_sheet(every_request(database, token_id, wanted))
    return csv_download(_name(token_id), sheet, for_excel=for_excel)


def requests_xlsx_download(
    database: Database, token_id: TokenId, wanted: RequestFilter
) -> Response:
    """Return a workbook. Raises Invalid for more rows than it may have, and Unavailable while
    another one is generated.
    """
    sheet = requests_sheet(every_request(database, token_id, wanted))
    return xlsx_download(_name(token_id), [with_row_limit(sheet)])


def _name(token_id: TokenId) -> str:
    return f"requests-{token_id}"
