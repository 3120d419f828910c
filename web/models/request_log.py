"""What calls about the request log may carry: the filters of its lists and files, and what the chat
platform reports to it.
"""

from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from schemas.request_log import RequestFilter
from schemas.tokens.permissions import Permission
from web.models.bodies import COMPLETION, WHOLE, Body
from web.models.fields import QueryTime, QueryUntil, QueryWhole, Text, Time, Whole
from web.models.queries import ForExcel, PageQuery, Query

MAX_REPORTS = 1000

Status = Annotated[Whole, Field(ge=100, le=599)]
DurationMs = Annotated[Whole, Field(ge=0, lt=2**31)]


class RequestsFileQuery(Query):
    since: QueryTime | None = Field(None, description="Made then or later.")
    until: QueryUntil | None = Field(None, description="Made before.")
    status: Annotated[QueryWhole, Field(ge=100, le=599)] | None = Field(
        None, description="Of the answer."
    )
    method: Text | None = Field(None, description="Whatever its case.")
    path: Text | None = Field(None, description="How the path begins.")
    allowed: bool | None = Field(None, description="false: only what was refused.")

    def chosen(self) -> RequestFilter:
        return RequestFilter(
            self.since, self.until, self.status, self.method, self.path, self.allowed
        )


class RequestsCsvQuery(RequestsFileQuery, ForExcel):
    """Of a file for programs, or for Excel."""


class RequestsQuery(RequestsFileQuery, PageQuery):
    """A page of the same."""


class CompletedRequest(Body):
    """What became of a request that was introspected."""

    request_id: str = Field(
        pattern="^req_[0-9a-f]{32}$", description="As introspection answered it."
    )
    status: Status
    duration_ms: DurationMs | None = None


class WholeRequest(Body):
    """A request that nobody asked about before it was answered."""

    token: str = Field(
        pattern="^[A-Za-z0-9_-]{1,128}$",
        description="Id of the token that it was made with: introspection's `client_id`.",
    )
    at: Time | None = Field(None, description="null: now.")
    method: str
    path: str = Field(description="Its query is left out of the log.")
    status: Status
    duration_ms: DurationMs | None = None
    ip: str | None = None
    user_agent: str | None = None
    permission: Permission | None = Field(None, description="That it needed.")
    allowed: bool | None = Field(None, description="null: yes, unless a reason is given.")
    reason: str | None = Field(None, description="Why it was not allowed.")


def _kind(report: object) -> str:
    return COMPLETION if isinstance(report, dict) and "request_id" in report else WHOLE


Report = Annotated[
    Annotated[CompletedRequest, Tag(COMPLETION)] | Annotated[WholeRequest, Tag(WHOLE)],
    Discriminator(_kind),
]


class ReportRequests(Body):
    log_texts: ClassVar[frozenset[str]] = frozenset(
        {"method", "path", "ip", "user_agent", "reason"}
    )

    requests: list[Report] = Field(min_length=1, max_length=MAX_REPORTS)
