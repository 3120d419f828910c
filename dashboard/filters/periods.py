"""The period that a list shows, as it is in the address: a preset that ends now, or two times as the
fields of a form write them.

The times of fields have no offset. They are in the zone that the address names, so that an address
means the same for everyone who opens it.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.times import UnixMs, to_rfc3339

PRESETS: Mapping[str, dt.timedelta] = {
    "1h": dt.timedelta(hours=1),
    "24h": dt.timedelta(hours=24),
    "7d": dt.timedelta(days=7),
    "30d": dt.timedelta(days=30),
}

_OF_FIELD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?")


@dataclass(frozen=True, slots=True)
class Period:
    """A period as it was asked for."""

    within: str
    """The preset; empty: none."""
    since: str
    """The beginning, as it was typed."""
    until: str
    """The end, as it was typed."""
    zone: ZoneInfo
    """The zone of typed times."""

    def parameters(self, now: UnixMs) -> dict[str, str]:
        """Return `since` and `until` as the API takes them. What is no time is returned as it is,
        for the model to refuse.
        """
        if self.within:
            since = UnixMs(now - PRESETS[self.within] // dt.timedelta(milliseconds=1))
            return {"since": to_rfc3339(since)}
        typed = {"since": self.since, "until": self.until}
        return {name: _with_offset(text, self.zone) for name, text in typed.items() if text}


def asked_period(query: Mapping[str, str], zone: ZoneInfo) -> Period:
    """Read a period from an address. Typed times outweigh a preset."""
    since, until = query.get("since", "").strip(), query.get("until", "").strip()
    within = query.get("within", "")
    is_preset = within in PRESETS and not (since or until)
    return Period(within if is_preset else "", since, until, _zone(query.get("zone", ""), zone))


def _zone(name: str, otherwise: ZoneInfo) -> ZoneInfo:
    try:
        return ZoneInfo(name) if name else otherwise
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return otherwise


def _with_offset(text: str, zone: ZoneInfo) -> str:
    if not _OF_FIELD.fullmatch(text):
        return text
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(dt.UTC).isoformat()
    except (ValueError, OverflowError):
        return text
