"""Channels, for choosing the visibility of a token."""

from flask import Response

from api.http.responses import json_response
from api.list_models import ChannelPage
from api.parts import ApiParts
from api.routes import Route
from api.serializers import channel_page
from schemas.tokens.permissions import Permission
from store.events.channels import list_channels
from web.models.queries import PageQuery


def list_of_channels(parts: ApiParts, query: PageQuery) -> Response:
    """List the channels of the latest 10,000 events, the most recently seen first.

    Use it to choose the visibility of a token. A channel whose last event is older is not listed,
    but can still be chosen.
    """
    with parts.database.read() as connection:
        return json_response(channel_page(list_channels(connection, query.limit, query.cursor)))


ROUTES = (
    Route(
        "GET",
        "/v1/channels",
        list_of_channels,
        "Channels",
        answer=ChannelPage,
        needs=Permission.PLATFORM_ADMIN,
        problems=frozenset({422}),
    ),
)
