"""Points in time as whole milliseconds since 1970 (UTC), and durations as people write them.

Integers, because both databases store and compare them alike, and because a millisecond is all that is promised outside.
"""

import datetime as dt
import re
import time
from typing import NewType

UnixMs = NewType("UnixMs", int)

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LEAP_SECOND = re.compile(r"(.{11}\d\d:\d\d:)60(.*)", re.DOTALL)
_EXAMPLE = "write it as 2026-11-22T10:00:00.000Z or 2026-11-22T10:00:00+01:00"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)

EARLIEST = UnixMs((dt.datetime(1000, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND)
LATEST = UnixMs((dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND)
"""RFC 3339 spells years with four digits: nothing outside of these can be written so that it is read again."""


def now_ms() -> UnixMs:
    return UnixMs(time.time_ns() // 1_000_000)


def to_rfc3339(at: UnixMs) -> str:
    """`2026-11-22T10:00:00.000Z`. From EARLIEST to LATEST."""
    seconds, ms = divmod(at, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03d}Z"


def from_rfc3339(text: str) -> UnixMs:
    """A leap second, `23:59:60`, is the second after it. Raises ValueError when `text` is no RFC 3339 time with an offset, or outside
    of the years 1000 to 9999 in UTC."""
    leap = _LEAP_SECOND.fullmatch(text)
    moment = _moment(f"{leap[1]}59{leap[2]}" if leap else text)
    at = UnixMs((moment - _EPOCH) // _MILLISECOND)
    if leap:
        if at // 1000 % 86_400 != 86_399:
            raise ValueError("only the last minute of a day (UTC) has a second 60")
        at = UnixMs(at + 1000)
    if not EARLIEST <= at <= LATEST:
        raise ValueError("a time lies in the years 1000 to 9999 (UTC)")
    return at


def _moment(text: str) -> dt.datetime:
    if len(text) < 20 or text[10] not in "Tt ":
        raise ValueError(f"this is not a time with date, hours, minutes, seconds and offset: {_EXAMPLE}")
    try:
        moment = dt.datetime.fromisoformat(text.upper())
    except ValueError:  # its words are Python's
        raise ValueError(f"this is not a time that can be read: {_EXAMPLE}") from None
    if moment.tzinfo is None:
        raise ValueError(f"a time needs an offset: {_EXAMPLE}")
    return moment


def parse_duration(text: str) -> dt.timedelta:
    """`5s`, `1.5h`, `24h`, `5d`, `0s`; raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 5s, 30m, 2h or 5d")
    try:
        return dt.timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    except OverflowError:
        raise ValueError("a duration is at most some million years") from None


def format_duration(duration: dt.timedelta) -> str:
    """The shortest spelling that `parse_duration` reads back."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS_S[unit] == 0:
            return f"{seconds / _UNITS_S[unit]:g}{unit}"
    return f"{seconds:g}s"
