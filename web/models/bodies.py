"""What requests may carry beside events, as pydantic models. `parsing` reads requests by them.

Unknown fields and parameters are refused: a typo must not be swallowed. Optional fields may be null.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.deliveries.recoveries import Recoverable
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.listings import DeliveryFilter
from schemas.times import UnixMs, from_rfc3339, parse_duration
from schemas.tokens.fields import MAX_NAME
from schemas.tokens.permissions import Permission
from schemas.tokens.target_policy import HEADER_NAME, HEADER_VALUE, MAX_HEADER_VALUE_BYTES, MAX_HEADERS, MAX_URL_LENGTH
from schemas.tokens.tokens import OnReturn, TokenState
from store.tokens.listing import TokenSort

KINDS = COMPLETION, WHOLE = "[completion]", "[whole]"
_PLUS_NOT_ENCODED = re.compile(r"(.{17,}) ([0-9]{2}:[0-9]{2})")  # what stands before can be no date alone
_WHOLE = re.compile("-?[0-9]{1,18}")
_STATUS = re.compile("[1-5][0-9]{2}")

# What the rules ask that are applied elsewhere, as far as JSON Schema can say it: so that clients can tell before they send.
_DURATION = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", "examples": ["0s", "24h", "7d"]}
_URL = {"type": "string", "maxLength": MAX_URL_LENGTH, "pattern": "^https?://", "examples": ["https://crm.example.com/hooks/chat"]}
_HEADERS = {
    "type": "object",
    "maxProperties": MAX_HEADERS,
    "propertyNames": {"pattern": f"^{HEADER_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "maxLength": MAX_HEADER_VALUE_BYTES, "pattern": f"^({HEADER_VALUE.pattern})$"},
}


def _time(value: object) -> UnixMs:
    if not isinstance(value, str):
        # TypeError would not become a fault: pydantic lets it through.
        raise ValueError("a time is an RFC 3339 string such as 2026-11-22T10:00:00.000Z")  # noqa: TRY004
    return from_rfc3339(value)


def _query_time(value: object) -> UnixMs:
    """A blank before the offset is the `+` that was not encoded: in a query that is how a blank is written."""
    plus = _PLUS_NOT_ENCODED.fullmatch(value) if isinstance(value, str) else None
    return _time(f"{plus[1]}+{plus[2]}" if plus else value)


def _not_before_since(until: UnixMs, info: ValidationInfo) -> UnixMs:
    since = info.data.get("since")
    if since is not None and since > until:
        raise ValueError("this is before `since`: nothing can lie between them")
    return until


def _duration(value: object) -> dt.timedelta:
    if not isinstance(value, str):
        raise ValueError("a duration is a string such as 0s, 30m, 24h or 7d")  # noqa: TRY004
    return parse_duration(value)


def _spelled_whole(value: object) -> object:
    """Of a query. Python reads `2_0` and `20.0` too, and no other program does."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("this is a whole number, such as 50")
    return value


def _whole(value: object) -> object:
    """JSON Schema calls 200.0 an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _some_text(text: str) -> str:
    if not text:
        raise ValueError("this is empty: give a value, or leave it out")
    if "\0" in text:
        raise ValueError("the character U+0000 cannot be stored")
    return text


def _told_status(text: object) -> int | None:
    """Of an answer; None where this is no status: programs that know of none send 0, or a word."""
    status = int(text) if isinstance(text, str) and _STATUS.fullmatch(text) else 0
    return status or None


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
Time = Annotated[UnixMs, BeforeValidator(_time), _DATE_TIME]
QueryTime = Annotated[UnixMs, BeforeValidator(_query_time), _DATE_TIME]
QueryUntil = Annotated[UnixMs, BeforeValidator(_query_time), AfterValidator(_not_before_since), _DATE_TIME]
"""Of a model with `since` before it."""
QueryWhole = Annotated[int, BeforeValidator(_spelled_whole)]
Whole = Annotated[int, BeforeValidator(_whole)]
Overlap = Annotated[dt.timedelta, BeforeValidator(_duration), WithJsonSchema({"anyOf": [_DURATION, {"type": "null"}]})]
Name = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_NAME})]
Url = Annotated[str, WithJsonSchema(_URL)]
Headers = Annotated[dict[str, str], WithJsonSchema(_HEADERS)]
Text = Annotated[str, AfterValidator(_some_text), WithJsonSchema({"type": "string", "minLength": 1})]

ToldStatus = Annotated[
    int | None, BeforeValidator(_told_status), WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "null"}], "examples": [200]})
]


def _unless_null(default: str) -> BeforeValidator:
    """null is as good as left out."""
    return BeforeValidator(lambda value: default if value is None else value)


def _overlap(default: str, description: str) -> Any:
    """The document gets the default as it would be sent; pydantic's own spelling of it, P1D, is refused."""
    return Field(parse_duration(default), description=description, json_schema_extra={"default": default})


class Body(BaseModel):
    """Strict: `"yes"` is no boolean and 1 no string. `log_texts` are names of fields that others wrote and only a log shows: what is no
    character there is spelled out, and nothing is refused for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    log_texts: ClassVar[frozenset[str]] = frozenset()


class Visibility(Body):
    """What is left out would be a guess, and the wrong one shows everything."""

    channels: list[str] | None = Field(description="Ids of the channels whose data the token may see. null: all; []: none.")


class PutCallback(Body):
    """What is left out or null stays as it is; a new callback is on, and has no headers of its own."""

    url: Url = Field(description="Where Ringback sends the events of this type.")
    enabled: bool | None = Field(None, description="Off: nothing is sent, deliveries are held.")
    headers: Headers | None = Field(None, description="Sent along with every webhook; never shown again. {} removes them all.")
    held: OnReturn | None = Field(
        None,
        description="What becomes of held deliveries when the callback, or its suspended token, comes back: they are sent (`release`, "
        "at first), stay held until they are released or recovered (`keep`), or are cancelled (`discard`, for one time).",
    )


class CreateToken(Body):
    name: Name
    activates_at: Time | None = Field(None, description="Valid from this moment on. null: from now on.")
    expires_at: Time | None = Field(None, description="Not valid from this moment on. null: never expires.")
    enabled: bool | None = None
    permissions: list[Permission] | None = None
    visibility: Visibility | None = Field(None, description="null or left out: all channels.")
    callbacks: dict[EventType, PutCallback | None] | None = Field(None, description="By event type.")


class PatchToken(Body):
    """What is left out stays as it is; so does what is null, but for `expires_at`: null is never."""

    name: Name | None = None
    activates_at: Time | None = None
    expires_at: Time | None = None
    enabled: bool | None = Field(None, description="false suspends the token, true brings it back.")
    permissions: list[Permission] | None = None
    visibility: Visibility | None = None


class Regenerate(Body):
    overlap: Annotated[Overlap, _unless_null("0s")] = _overlap("0s", "How long the token before goes on being valid, at most 7d.")


class RotateSigningSecret(Body):
    overlap: Annotated[Overlap, _unless_null("24h")] = _overlap("24h", "How long the secret before signs too, at most 7d.")


class Nothing(Body):
    """There is nothing to say."""


class CreateRecovery(Body):
    token: Text | None = Field(None, description="Of this token only, by id. null or left out: of every token.")
    type: EventType | None = Field(None, description="null or left out: every type.")
    since: Time = Field(description="What was made then or later; of what is missing: accepted.")
    until: Time | None = Field(None, description="What was made before. null or left out: until now.")
    states: list[Recoverable] | None = Field(None, min_length=1, description="null or left out: those that are exhausted.")


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
    status_code: Annotated[QueryWhole, Field(ge=100, le=599)] | None = Field(None, description="Of the last attempt's answer.")
    error: Outcome | None = Field(None, description="How the last attempt ended.")

    def of(self, token: TokenId | None) -> DeliveryFilter:
        return DeliveryFilter(token, self.type, self.state, self.since, self.until, self.status_code, self.error)


class ForExcel(BaseModel):
    """Of a CSV file."""

    excel: bool = Field(False, description="true: with the marks by which Excel opens it as a table, whatever its language.")


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
        None, description="Taken in hand then or later: at once when it was accepted, or after the backlog before it."
    )
    until: QueryUntil | None = Field(None, description="Taken in hand before.")
    cursor: Text | None = Field(None, description="The `next_cursor` of the answer before, however long ago. null: from the oldest on.")


class StatsQuery(Query):
    since: QueryTime | None = Field(None, description="Made then or later. null: 24 hours before `until`.")
    until: QueryTime | None = Field(None, description="Made before. null: until now.")


class CheckToken(BaseModel):
    """A form. What the caller's own client wrote (`method` to `user_agent`) is for the request log, and refuses nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        """They are none (RFC 6749, section 3.1). But an empty permission is one that got lost: without any, everything is allowed."""
        return {name: text for name, text in fields.items() if text or name == "permission"}

    token: str = Field(min_length=1, description="The token to check, as it came.")
    token_type_hint: str | None = Field(None, description="Not looked at: there is one type.")
    client_id: str | None = Field(None, description="Not looked at.")
    client_secret: str | None = Field(None, description="Your own token, unless an `Authorization` header carries it.")
    permission: Permission | None = Field(None, description="What the request needs: `allowed` says whether the token has it.")
    method: str | None = Field(None, description="Of the request that carried the token.")
    path: str | None = Field(None, description="Its path; a query is cut off.")
    status: ToldStatus = Field(None, description="What it is answered, 100 to 599; anything else counts as not known.")
    ip: str | None = Field(None, description="Where it came from.")
    user_agent: str | None = None


class IdPath(BaseModel):
    """No id holds anything else; what does names nothing."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")


class CallbackPath(IdPath):
    type: EventType
