"""Types of single fields: how each is read, and what JSON Schema says of it."""

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from schemas.times import UnixMs, from_rfc3339, parse_duration
from schemas.tokens.fields import MAX_NAME
from schemas.tokens.target_policy import (
    HEADER_NAME,
    HEADER_VALUE,
    MAX_HEADER_VALUE_BYTES,
    MAX_HEADERS,
    MAX_URL_LENGTH,
)

_PLUS_NOT_ENCODED = re.compile(
    r"(.{17,}) ([0-9]{2}:[0-9]{2})"
)  # what stands before can be no date alone


_WHOLE = re.compile("-?[0-9]{1,18}")


_STATUS = re.compile("[1-5][0-9]{2}")


# What the rules ask that are applied elsewhere, as far as JSON Schema can say it: so that clients
# can tell before they send.
_DURATION = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$",
    "examples": ["0s", "24h", "7d"],
}


_URL = {
    "type": "string",
    "maxLength": MAX_URL_LENGTH,
    "pattern": "^https?://",
    "examples": ["https://crm.example.com/hooks/chat"],
}


_HEADERS = {
    "type": "object",
    "maxProperties": MAX_HEADERS,
    "propertyNames": {"pattern": f"^{HEADER_NAME.pattern}$"},
    "additionalProperties": {
        "type": "string",
        "maxLength": MAX_HEADER_VALUE_BYTES,
        "pattern": f"^({HEADER_VALUE.pattern})$",
    },
}


def _time(value: object) -> UnixMs:
    if not isinstance(value, str):
        # TypeError would not become a fault: pydantic lets it through.
        raise ValueError("a time is an RFC 3339 string such as 2026-11-22T10:00:00.000Z")  # noqa: TRY004
    return from_rfc3339(value)


def _query_time(value: object) -> UnixMs:
    """A blank before the offset is the `+` that was not encoded: in a query that is how a blank is
    written.
    """
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


QueryUntil = Annotated[
    UnixMs, BeforeValidator(_query_time), AfterValidator(_not_before_since), _DATE_TIME
]
"""Of a model with `since` before it."""


QueryWhole = Annotated[int, BeforeValidator(_spelled_whole)]


Whole = Annotated[int, BeforeValidator(_whole)]


Overlap = Annotated[
    dt.timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"anyOf": [_DURATION, {"type": "null"}]}),
]


Name = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_NAME})]


Url = Annotated[str, WithJsonSchema(_URL)]


Headers = Annotated[dict[str, str], WithJsonSchema(_HEADERS)]


Text = Annotated[
    str, AfterValidator(_some_text), WithJsonSchema({"type": "string", "minLength": 1})
]


ToldStatus = Annotated[
    int | None,
    BeforeValidator(_told_status),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "null"}], "examples": [200]}),
]


def unless_null(default: str) -> BeforeValidator:
    """null is as good as left out."""
    return BeforeValidator(lambda value: default if value is None else value)


def overlap_field(default: str, description: str) -> Any:
    """The document gets the default as it would be sent; pydantic's own spelling of it, P1D, is
    refused.
    """
    return Field(
        parse_duration(default), description=description, json_schema_extra={"default": default}
    )
