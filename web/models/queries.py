"""What queries and paths may carry, as pydantic models. `parsing` reads requests by them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.listings import DeliveryFilter
from schemas.tokens.tokens import TokenState
from store.tokens.listing import TokenSort
from web.models.fields import QueryTime, QueryUntil, QueryWhole, Text


class Query(BaseModel):
    """Alone: no parameter at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(Query):
    limit: QueryWhole = Field(50, ge=10, le=100, description="Rows a page.")
    cursor: Text | None = Field(None, description="The `next_cursor` of the page before.")


class TokensQuery(PageQuery):
    search: Text | None = Field(None, description="Part of a name, or a whole id.")
    state: TokenState | None = Field(None, description="Without it all but the revoked ones.")
    sort: TokenSort = TokenSort.NAME


class EventsQuery(PageQuery):
    type: EventType | None = None
    since: QueryTime | None = Field(None, description="Accepted then or later.")
    until: QueryUntil | None = Field(None, description="Accepted before.")


class ChosenDeliveries(Query):
    """Null: any."""

    type: EventType | None = None
    state: DeliveryState | None = None
    since: QueryTime | None = Field(None, description="Made then or later.")
    until: QueryUntil | None = Field(None, description="Made before.")
    status_code: Annotated[QueryWhole, Field(ge=100, le=599)] | None = Field(
        None, description="Of the last attempt's answer."
    )
    error: Outcome | None = Field(None, description="How the last attempt ended.")

    def of(self, token: TokenId | None) -> DeliveryFilter:
        return DeliveryFilter(
            token, self.type, self.state, self.since, self.until, self.status_code, self.error
        )


class ForExcel(BaseModel):
    """Of a CSV file."""

    excel: bool = Field(
        False,
        description="true: with the marks by which Excel opens it as a table, whatever its language.",
    )


class DeliveriesCsvQuery(ChosenDeliveries, ForExcel):
    """Of a file for programs, or for Excel."""


class OwnDeliveriesQuery(PageQuery, ChosenDeliveries):
    """A page of them."""


class DeliveriesQuery(OwnDeliveriesQuery):
    token: Text | None = Field(None, description="Of this token, by id.")
    event: Text | None = Field(None, description="Of this event, by id.")


class PullQuery(PageQuery):
    type: EventType | None = None
    since: QueryTime | None = Field(
        None,
        description="Taken in hand then or later: at once when it was accepted, or after the backlog before it.",
    )
    until: QueryUntil | None = Field(None, description="Taken in hand before.")
    cursor: Text | None = Field(
        None,
        description="The `next_cursor` of the answer before, however long ago. null: from the oldest on.",
    )


class StatsQuery(Query):
    since: QueryTime | None = Field(
        None, description="Made then or later. null: 24 hours before `until`."
    )
    until: QueryTime | None = Field(None, description="Made before. null: until now.")


class IdPath(BaseModel):
    """No id holds anything else; what does names nothing."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")


class CallbackPath(IdPath):
    type: EventType
