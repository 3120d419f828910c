"""What lists answer: a page of things, and how one goes on. `showing` makes them."""

import msgspec

from api.response_models import (
    ChangeAnswer,
    ChannelAnswer,
    DeliveryAnswer,
    EventAnswer,
    RequestAnswer,
    TokenAnswer,
)


class TokenPage(msgspec.Struct):
    data: list[TokenAnswer]
    next_cursor: str | None


class EventPage(msgspec.Struct):
    """As `DeliveryPage`, of events by when they were accepted."""

    data: list[EventAnswer]
    next_cursor: str | None
    looked_until: str | None


class DeliveryPage(msgspec.Struct):
    """It may hold fewer than `limit`, even none, before the last page: with a filter, a page looks at a bounded number of deliveries.
    `looked_until` says how far back: at all that were made then or later. null, on the last page: at all there are.
    """

    data: list[DeliveryAnswer]
    next_cursor: str | None
    looked_until: str | None


class ChangePage(msgspec.Struct):
    data: list[ChangeAnswer]
    next_cursor: str | None


class RequestPage(msgspec.Struct):
    """As `DeliveryPage`, of requests."""

    data: list[RequestAnswer]
    next_cursor: str | None
    looked_until: str | None


class ChannelPage(msgspec.Struct):
    data: list[ChannelAnswer]
    next_cursor: str | None
