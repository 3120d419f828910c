"""The request log of a token: list, download."""

from flask import Response

from api.http.responses import json_response
from api.list_models import RequestPage
from api.parts import ApiParts
from api.routes import Route
from api.serializers import request_page
from schemas.ids import TokenId
from schemas.tokens.permissions import Permission
from store.request_log.listing import list_requests
from web.exports.request_downloads import requests_csv_download, requests_xlsx_download
from web.exports.streaming import CSV, XLSX
from web.models.queries import IdPath
from web.models.request_log import RequestFilterQuery, RequestsCsvQuery, RequestsQuery

_TAG = "Request log"


def list_of_requests(parts: ApiParts, path: IdPath, query: RequestsQuery) -> Response:
    """List the requests made with a token, newest first.

    They are requests to this API, and requests to the chat platform's own API that it checked here
    or reported. A request is listed within a second.

    A page reads a bounded number of requests: with a filter it may hold few, or none, and still
    have a `next_cursor`. Continue until `next_cursor` is null; `looked_until` says how far back the
    page read.
    """
    token_id = TokenId(path.id)
    with parts.database.read() as connection:
        parts.tokens.get_in(connection, token_id)
        return json_response(
            request_page(
                list_requests(connection, token_id, query.to_filter(), query.limit, query.cursor)
            )
        )


def requests_csv(parts: ApiParts, path: IdPath, query: RequestsCsvQuery) -> Response:
    """Download the requests made with a token as CSV, newest first.

    The format is made for programs: values are unchanged. Only a value that a spreadsheet would run
    as a formula gets an apostrophe before it. `excel=true` adds the marks that Excel needs: a byte
    order mark, and `sep=,` as the first line.
    """
    return requests_csv_download(
        parts.database, _known(parts, path), query.to_filter(), for_excel=query.excel
    )


def requests_xlsx(parts: ApiParts, path: IdPath, query: RequestFilterQuery) -> Response:
    """Download the requests made with a token as an Excel workbook, newest first.

    422 if there are more than 250,000: choose a shorter period with `since` and `until`, or
    download the CSV. 503 while another workbook is being generated.
    """
    return requests_xlsx_download(parts.database, _known(parts, path), query.to_filter())


def _known(parts: ApiParts, path: IdPath) -> TokenId:
    """Return the id of an existing token. Raises NotFound."""
    return parts.tokens.get(TokenId(path.id)).id


_ADMIN, _PROBLEMS = Permission.PLATFORM_ADMIN, frozenset({404, 422})
_OF_TOKEN = "/v1/tokens/<id>/requests"

ROUTES = (
    Route(
        "GET",
        _OF_TOKEN,
        list_of_requests,
        _TAG,
        answer=RequestPage,
        needs=_ADMIN,
        problems=_PROBLEMS,
    ),
    Route(
        "GET", _OF_TOKEN + ".csv", requests_csv, _TAG, needs=_ADMIN, file=CSV, problems=_PROBLEMS
    ),
    Route(
        "GET", _OF_TOKEN + ".xlsx", requests_xlsx, _TAG, needs=_ADMIN, file=XLSX, problems=_PROBLEMS
    ),
)
