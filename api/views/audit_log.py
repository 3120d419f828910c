"""The audit log of a token, read-only. The code that changes tokens writes it."""

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
    """List the changes of a token: what, by whom, when and from where, newest first.

    The list holds no secrets, and only the names of callbacks' headers. It remains after the token
    was revoked.
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
