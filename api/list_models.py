"""The responses of lists: a page of rows and the cursor of the next page. `serializers` builds
them.
"""

import msgspec

from api.response_models import ChannelAnswer, DeliveryAnswer, EventAnswer, RequestAnswer
from api.token_models import ChangeAnswer, TokenAnswer


class TokenPage(msgspec.Struct):
    """A page of tokens. `next_cursor` is null on the last page."""

    data: list[TokenAnswer]
    next_cursor: str | None


class EventPage(msgspec.Struct):
    """A page of events. It may hold fewer than `limit`, even none, before the last page: with a
    filter, a page reads a bounded number of events.

    `looked_until`: the page read all events accepted at this time or later. null on the last page:
    all events were read.
    """

    data: list[EventAnswer]
    next_cursor: str | None
    looked_until: str | None


class DeliveryPage(msgspec.Struct):
    """A page of deliveries. It may hold fewer than `limit`, even none, before the last page: with a
    filter, a page reads a bounded number of deliveries.

    `looked_until`: the page read all deliveries created at this time or later. null on the last
    page: all deliveries were read.
    """

    data: list[DeliveryAnswer]
    next_cursor: str | None
    looked_until: str | None


class ChangePage(msgspec.Struct):
    """A page of a token's changes. `next_cursor` is null on the last page."""

    data: list[ChangeAnswer]
    next_cursor: str | None


class RequestPage(msgspec.Struct):
    """A page of requests. It may hold fewer than `limit`, even none, before the last page: a page
    reads a bounded number of requests.

    `looked_until`: the page read all requests made at this time or later. null on the last page:
    all requests were read.
    """

    data: list[RequestAnswer]
    next_cursor: str | None
    looked_until: str | None


class ChannelPage(msgspec.Struct):
    """A page of channels. `next_cursor` is null on the last page."""

    data: list[ChannelAnswer]
    next_cursor: str | None
