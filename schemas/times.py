"""Points in time as whole milliseconds since 1970 (UTC), and durations as people write them.

Times are integers, because both databases store and compare integers alike, and because the API
promises no more than milliseconds (docs/decisions/0003-times-are-milliseconds.md).
"""

import datetime as dt
import re
import time
from typing import NewType

from schemas.texts import shortened

UnixMs = NewType("UnixMs", int)

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
EXAMPLE = "2026-11-22T10:00:00.000Z"
_NO_TIME = (
    "a time is written as in RFC 3339, with an offset, like "
    f"{EXAMPLE} or 2026-11-22T11:00:00+01:00; this one cannot be read"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_read_iso = dt.datetime.fromisoformat
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])?"
).fullmatch
_MILLISECOND = dt.timedelta(milliseconds=1)

EARLIEST = UnixMs((dt.datetime(1000, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND)
LATEST = UnixMs(
    (dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND
)
"""The latest time; `EARLIEST` is the first one. RFC 3339 writes years with four digits, so that no
other time can be written and read again.
"""


def now_ms() -> UnixMs:
    """Return the time by this machine's clock."""
    return UnixMs(time.time_ns() // 1_000_000)


def to_rfc3339(at: UnixMs) -> str:
    """Return a time from EARLIEST to LATEST as `2026-11-22T10:00:00.000Z`."""
    seconds, ms = divmod(at, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03d}Z"


def to_rfc3339_or_none(moment: UnixMs | None) -> str | None:
    """Return the time as RFC 3339, and None for None."""
    return None if moment is None else to_rfc3339(moment)


def from_rfc3339(text: str) -> UnixMs:
    """Read an RFC 3339 time with an offset, in the years 1000 to 9999 (UTC).

    A leap second (`23:59:60`) becomes the first second of the next day, because unix time has no
    number of its own for it. Raises ValueError with a text for the author of the time.
    """
    # `fromisoformat` also reads other formats, such as weeks and decimal commas
    match = _RFC3339(text)
    if match is None:
        raise ValueError(_NO_TIME)
    if match[1] is None:
        raise ValueError(f"a time needs an offset, such as Z or +01:00: write it like {EXAMPLE}")
    try:
        since = _read_iso(text) - _EPOCH
    except ValueError:
        since = _since_epoch(text.upper())
    ms = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    at: UnixMs = ms  # type: ignore[assignment]  # calling UnixMs is slow
    if not EARLIEST <= at <= LATEST:
        raise ValueError("a time must be in the years 1000 to 9999 (UTC)")
    return at


def _since_epoch(text: str) -> dt.timedelta:
    """Return the time since 1970 of a text that may have a leap second. Raises ValueError."""
    leap_s = text[16:19] == ":60"
    try:
        moment = _read_iso(f"{text[:17]}59{text[19:]}" if leap_s else text)
    except ValueError:
        raise ValueError(_NO_TIME) from None
    since = moment - _EPOCH + dt.timedelta(seconds=leap_s)
    if leap_s and since.seconds:
        raise ValueError(
            f"a minute has a second 60 only at 23:59:60 UTC: write other times like {EXAMPLE}"
        )
    return since


def parse_duration(text: str) -> dt.timedelta:
    """Read a duration such as `5s`, `1.5h`, `24h`, `5d` or `0s`; raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{shortened(text)!r} is not a duration such as 500ms, 5s, 30m, 2h or 5d")
    try:
        return dt.timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    except OverflowError:
        raise ValueError("a duration is at most some million years") from None


def format_duration(duration: dt.timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS_S[unit] == 0:
            return f"{seconds / _UNITS_S[unit]:g}{unit}"
    return f"{seconds:g}s"
