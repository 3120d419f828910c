"""The parameters of queries and paths, as pydantic models. `parsing` reads requests with them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.figures import Step
from schemas.ids import TokenId
from schemas.listings import DeliveryFilter
from schemas.tokens.tokens import TokenState
from store.tokens.listing import TokenSelection, TokenSort
from web.models.fields import QueryTime, QueryUntil, QueryWhole, Text


class Query(BaseModel):
    """The base of all queries. By itself it accepts no parameter."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(Query):
    """The parameters that all lists have."""

    limit: QueryWhole = Field(50, ge=10, le=100, description="Rows per page.")
    cursor: Text | None = Field(None, description="The `next_cursor` of the previous page.")


class TokensQuery(PageQuery):
    """Which tokens to list."""

    search: Text | None = Field(None, description="Part of a name, or a whole id.")
    state: TokenState | None = Field(None, description="null: all except revoked tokens.")
    filter: TokenSelection | None = Field(
        None,
        description="Tokens that may need attention: those that expire within 30 days; that never"
        " expire; that were not used for 90 days; that have no callback; or that have a failing or"
        " disabled one. null: any.",
    )
    sort: TokenSort = TokenSort.NAME


class EventsQuery(PageQuery):
    """Which events to list."""

    type: EventType | None = None
    since: QueryTime | None = Field(None, description="Accepted at this time or later.")
    until: QueryUntil | None = Field(None, description="Accepted before this time.")


class DeliveryFilterQuery(Query):
    """Which deliveries to list or download. A parameter that is left out filters nothing."""

    type: EventType | None = None
    state: DeliveryState | None = None
    since: QueryTime | None = Field(None, description="Created at this time or later.")
    until: QueryUntil | None = Field(None, description="Created before this time.")
    status_code: Annotated[QueryWhole, Field(ge=100, le=599)] | None = Field(
        None, description="The status of the last attempt's response."
    )
    error: Outcome | None = Field(None, description="The outcome of the last attempt.")

    def to_filter(self, token: TokenId | None) -> DeliveryFilter:
        """Return the filter of the store, for one token or for all."""
        return DeliveryFilter(
            token, self.type, self.state, self.since, self.until, self.status_code, self.error
        )


class ForExcel(BaseModel):
    """The parameter that all CSV downloads have."""

    excel: bool = Field(
        False,
        description="true: add the marks that make Excel open the file as a table, whatever its"
        " language.",
    )


class DeliveriesCsvQuery(DeliveryFilterQuery, ForExcel):
    """Which deliveries to download as CSV."""


class OwnDeliveriesQuery(PageQuery, DeliveryFilterQuery):
    """Which of its own deliveries a token lists."""


class DeliveriesQuery(OwnDeliveriesQuery):
    """Which deliveries of all tokens to list."""

    token: Text | None = Field(None, description="The id of a token.")
    event: Text | None = Field(None, description="The id of an event.")


class PullQuery(PageQuery):
    """Which events to pull."""

    type: EventType | None = None
    since: QueryTime | None = Field(
        None,
        description="Events that became available for pulling at this time or later: when they were"
        " accepted, or after the backlog before them.",
    )
    until: QueryUntil | None = Field(
        None, description="Events that became available for pulling before this time."
    )
    cursor: Text | None = Field(
        None,
        description="The `next_cursor` of the previous response, however long ago. null: start with"
        " the oldest event.",
    )


class StatsQuery(Query):
    """The period to count deliveries in."""

    since: QueryTime | None = Field(
        None, description="Created at this time or later. null: 24 hours before `until`."
    )
    until: QueryTime | None = Field(None, description="Created before this time. null: until now.")


class FiguresQuery(Query):
    """Which figures to show."""

    since: QueryTime | None = Field(
        None,
        alias="from",
        description="The beginning; null: 24 hours before `until`. At most thirteen months are"
        " kept.",
    )
    until: QueryTime | None = Field(None, description="The end; null, or a later time: now.")
    step: Step | None = Field(
        None,
        description="How much time a point stands for; null: what suits the period. Figures of more"
        " than two days ago, and those of a callback, are kept by the hour.",
    )
    callback: Text | None = Field(
        None,
        description="The id of a callback: the sixteen characters after `dlv_` in the id of each of"
        " its deliveries.",
    )
    type: EventType | None = Field(None, description="Only this event type; not with `callback`.")


class IdPath(BaseModel):
    """A path with an id. A path with other characters names nothing."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")


class CallbackPath(IdPath):
    """A path to a token's callback for an event type."""

    type: EventType
