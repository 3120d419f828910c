"""The request log: a token's requests, listed and downloaded."""

from collections.abc import Iterator

from flask import Response

from api.http.responses import json_response
from api.list_models import RequestPage
from api.parts import ApiParts
from api.routes import Route
from api.serializers import request_page
from schemas.ids import TokenId
from schemas.request_log import LoggedRequest
from schemas.tokens.permissions import Permission
from store.request_log.listing import every_request, list_requests
from web.exports.request_sheets import requests_sheet
from web.exports.streaming import CSV, XLSX, csv_download, few_enough, xlsx_download
from web.models.queries import IdPath
from web.models.request_log import RequestsCsvQuery, RequestsFileQuery, RequestsQuery

_TAG = "Request log"


def list_of_requests(parts: ApiParts, path: IdPath, query: RequestsQuery) -> Response:
    """List the requests made with a token, newest first.

    Those to this API, and those to the chat platform's own that it asked about or reported. A page
    looks at a bounded number of requests: with a filter that matches little it may hold few of
    them, or none, and have a `next_cursor` all the same. Go on until that is null; `looked_until`
    says how far back each page looked. A request is listed within a second.
    """
    token_id = TokenId(path.id)
    with parts.database.read() as connection:
        parts.tokens.get_in(connection, token_id)
        return json_response(
            request_page(
                list_requests(connection, token_id, query.chosen(), query.limit, query.cursor)
            )
        )


def requests_csv(parts: ApiParts, path: IdPath, query: RequestsCsvQuery) -> Response:
    """Download them as CSV, newest first.

    For programs: values are as they are. Only what a spreadsheet would take for a formula has an
    apostrophe before it. `excel=true` adds the marks that Excel needs: a byte order mark, and
    `sep=,` as the first line.
    """
    return csv_download(
        _name(path), requests_sheet(_every(parts, path, query)), for_excel=query.excel
    )


def requests_xlsx(parts: ApiParts, path: IdPath, query: RequestsFileQuery) -> Response:
    """Download them as an Excel workbook, newest first.

    422 when there are more than 250,000: choose a shorter time by `since` and `until`, or take the
    CSV. 503 while another workbook is being made.
    """
    return xlsx_download(_name(path), [few_enough(requests_sheet(_every(parts, path, query)))])


def _every(parts: ApiParts, path: IdPath, query: RequestsFileQuery) -> Iterator[LoggedRequest]:
    token_id = parts.tokens.get(
        TokenId(path.id)
    ).id  # now: a generator would find out when the answer has begun
    return every_request(parts.database, token_id, query.chosen())


def _name(path: IdPath) -> str:
    return f"requests-{path.id}"


_ADMIN, _FOUND = Permission.PLATFORM_ADMIN, frozenset({404, 422})
_OF_TOKEN = "/v1/tokens/<id>/requests"

ROUTES = (
    Route(
        "GET", _OF_TOKEN, list_of_requests, _TAG, answer=RequestPage, needs=_ADMIN, problems=_FOUND
    ),
    Route("GET", _OF_TOKEN + ".csv", requests_csv, _TAG, needs=_ADMIN, file=CSV, problems=_FOUND),
    Route(
        "GET", _OF_TOKEN + ".xlsx", requests_xlsx, _TAG, needs=_ADMIN, file=XLSX, problems=_FOUND
    ),
)
