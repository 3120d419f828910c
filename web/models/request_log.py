"""The models of calls about the request log: filters of its lists and downloads, and the reports of
the chat platform.
"""

from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from schemas.request_log import RequestFilter
from schemas.tokens.permissions import Permission
from web.models.bodies import Body
from web.models.fields import QueryTime, QueryUntil, QueryWhole, Text, Time, Whole
from web.models.parsing import COMPLETED, WHOLE
from web.models.queries import ForExcel, PageQuery, Query

MAX_REPORTS = 1000

Status = Annotated[Whole, Field(ge=100, le=599)]
DurationMs = Annotated[Whole, Field(ge=0, lt=2**31)]


class RequestFilterQuery(Query):
    """Which requests to list or download. A parameter that is left out filters nothing."""

    since: QueryTime | None = Field(None, description="Made at this time or later.")
    until: QueryUntil | None = Field(None, description="Made before this time.")
    status: Annotated[QueryWhole, Field(ge=100, le=599)] | None = Field(
        None, description="The status of the response."
    )
    method: Text | None = Field(None, description="The method, in upper or lower case.")
    path: Text | None = Field(None, description="The beginning of the path.")
    allowed: bool | None = Field(None, description="false: only requests that were refused.")

    def to_filter(self) -> RequestFilter:
        """Return the filter of the store."""
        return RequestFilter(
            self.since, self.until, self.status, self.method, self.path, self.allowed
        )


class RequestsCsvQuery(RequestFilterQuery, ForExcel):
    """Which requests to download as CSV."""


class RequestsQuery(RequestFilterQuery, PageQuery):
    """Which requests to list."""


class CompletedRequest(Body):
    """The result of a request that was introspected."""

    request_id: str = Field(
        pattern="^req_[0-9a-f]{32}$", description="The id that introspection returned."
    )
    status: Status
    duration_ms: DurationMs | None = None


class WholeRequest(Body):
    """A request that was not introspected."""

    token: str = Field(
        pattern="^[A-Za-z0-9_-]{1,128}$",
        description="The id of the token that made it, which is introspection's `client_id`.",
    )
    at: Time | None = Field(None, description="When it was made. null: now.")
    method: str
    path: str = Field(description="The path. The log leaves out its query.")
    status: Status
    duration_ms: DurationMs | None = None
    ip: str | None = None
    user_agent: str | None = None
    permission: Permission | None = Field(None, description="What the request needed.")
    allowed: bool | None = Field(None, description="null: true, unless a reason is given.")
    reason: str | None = Field(None, description="Why it was not allowed.")


def _tag(report: object) -> str:
    return COMPLETED if isinstance(report, dict) and "request_id" in report else WHOLE


Report = Annotated[
    Annotated[CompletedRequest, Tag(COMPLETED)] | Annotated[WholeRequest, Tag(WHOLE)],
    Discriminator(_tag),
]


class ReportRequests(Body):
    """Reports of requests to the chat platform's own API."""

    log_texts: ClassVar[frozenset[str]] = frozenset(
        {"method", "path", "ip", "user_agent", "reason"}
    )

    requests: list[Report] = Field(min_length=1, max_length=MAX_REPORTS)
