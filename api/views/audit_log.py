"""The operation log of a token: read, and nothing else. It is written where tokens are changed."""

from flask import Response

from api.http.responses import json_response
from api.list_models import ChangePage
from api.parts import ApiParts
from api.routes import Route
from api.serializers import change_page
from schemas.ids import TokenId
from schemas.tokens.permissions import Permission
from store.tokens.audit_log import list_changes
from web.models.queries import IdPath, PageQuery


def list_of_changes(parts: ApiParts, path: IdPath, query: PageQuery) -> Response:
    """List what was done to a token: what, by whom, when and from where, newest first.

    Secrets are not in it, and of the headers of callbacks only names. It is there after the token
    was revoked, too.
    """
    token_id = TokenId(path.id)
    with parts.database.read() as connection:
        parts.tokens.get_in(connection, token_id)
        return json_response(
            change_page(list_changes(connection, token_id, query.limit, query.cursor))
        )


ROUTES = (
    Route(
        "GET",
        "/v1/tokens/<id>/changes",
        list_of_changes,
        "Tokens",
        answer=ChangePage,
        needs=Permission.PLATFORM_ADMIN,
        problems=frozenset({404, 422}),
    ),
)
