"""The types of single fields: how a value is read, and what JSON Schema says about it.

Some rules are checked elsewhere, such as those of URLs. Their schemas repeat the rules as far as
JSON Schema can, so that clients can check before they send.
"""

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from schemas.emails import MAX_EMAIL
from schemas.times import UnixMs, from_rfc3339, parse_duration
from schemas.tokens.fields import MAX_NAME
from schemas.tokens.target_policy import (
    HEADER_NAME,
    HEADER_VALUE,
    MAX_HEADER_VALUE_BYTES,
    MAX_HEADERS,
    MAX_URL_LENGTH,
)

_UNENCODED_PLUS = re.compile(r"(.{17,}) ([0-9]{2}:[0-9]{2})")
"""A time whose `+` became a blank. What comes before the blank is too long for a date alone."""

_WHOLE = re.compile("-?[0-9]{1,18}")
_STATUS = re.compile("[1-5][0-9]{2}")


# Pydantic turns no TypeError into a fault, so these raise ValueError.
def _time(value: object) -> UnixMs:
    if not isinstance(value, str):
        raise ValueError("a time is an RFC 3339 string such as 2026-11-22T10:00:00.000Z")  # noqa: TRY004 - see above
    return from_rfc3339(value)


def _duration(value: object) -> dt.timedelta:
    if not isinstance(value, str):
        raise ValueError("a duration is a string such as 0s, 30m, 24h or 7d")  # noqa: TRY004 - see above
    return parse_duration(value)


def _query_time(value: object) -> UnixMs:
    """Read a time in a query. In a query a `+` that was not encoded means a blank, so a blank
    before the offset is read as `+`.
    """
    match = _UNENCODED_PLUS.fullmatch(value) if isinstance(value, str) else None
    return _time(f"{match[1]}+{match[2]}" if match else value)


def _not_before_since(until: UnixMs, info: ValidationInfo) -> UnixMs:
    since = info.data.get("since")
    if since is not None and since > until:
        raise ValueError("this is before `since`: the period is empty")
    return until


def _decimal(value: object) -> object:
    """Refuse what only Python reads as a whole number: `2_0` and `20.0`."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("this is not a whole number, such as 50")
    return value


def _whole(value: object) -> object:
    """Convert 200.0, which JSON Schema calls an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _stored_text(text: str) -> str:
    if not text:
        raise ValueError("this is empty: give a value, or leave it out")
    if "\0" in text:
        raise ValueError("the character U+0000 cannot be stored")
    return text


def _reported_status(text: object) -> int | None:
    """Return None for what is no status: programs that know of none send 0, or a word."""
    status = int(text) if isinstance(text, str) and _STATUS.fullmatch(text) else 0
    return status or None


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})

Time = Annotated[UnixMs, BeforeValidator(_time), _DATE_TIME]
"""A time in a body."""

QueryTime = Annotated[UnixMs, BeforeValidator(_query_time), _DATE_TIME]
"""A time in a query."""

QueryUntil = Annotated[
    UnixMs, BeforeValidator(_query_time), AfterValidator(_not_before_since), _DATE_TIME
]
"""The end of a period in a query. The model has a field `since` before it."""

Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number in a body."""

QueryWhole = Annotated[int, BeforeValidator(_decimal)]
"""A whole number in a query."""

Text = Annotated[
    str, AfterValidator(_stored_text), WithJsonSchema({"type": "string", "minLength": 1})
]
"""A text that is not empty and that the databases can store."""

ReportedStatus = Annotated[
    int | None,
    BeforeValidator(_reported_status),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "null"}], "examples": [200]}),
]
"""The status of a response, in a form. Other values are None."""

Name = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_NAME})]
"""The name of a token. `schemas.tokens.fields` checks it."""

Email = Annotated[
    str, WithJsonSchema({"type": "string", "format": "email", "maxLength": MAX_EMAIL})
]
"""An e-mail address. `schemas.tokens.fields` checks it."""

Url = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": MAX_URL_LENGTH,
            "pattern": "^https?://",
            "examples": ["https://crm.example.com/hooks/chat"],
        }
    ),
]
"""The URL of a callback. `schemas.tokens.target_policy` checks it."""

Headers = Annotated[
    dict[str, str],
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_HEADERS,
            "propertyNames": {"pattern": f"^{HEADER_NAME.pattern}$"},
            "additionalProperties": {
                "type": "string",
                "maxLength": MAX_HEADER_VALUE_BYTES,
                "pattern": f"^({HEADER_VALUE.pattern})$",
            },
        }
    ),
]
"""The headers of a callback. `schemas.tokens.target_policy` checks them."""

_DURATION = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$",
    "examples": ["0s", "24h", "7d"],
}

Overlap = Annotated[
    dt.timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"anyOf": [_DURATION, {"type": "null"}]}),
]
"""How long a replaced secret stays valid. `store.tokens.tokens` checks its limits."""


def unless_null(default: str) -> BeforeValidator:
    """Read null like a field that is left out."""
    return BeforeValidator(lambda value: default if value is None else value)


def overlap_field(default: str, description: str) -> Any:  # as pydantic's `Field`
    """Return a field whose documented default is spelled as it may be sent: pydantic documents P1D,
    which is refused.
    """
    return Field(
        parse_duration(default), description=description, json_schema_extra={"default": default}
    )
