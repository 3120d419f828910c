"""Calendar days as moments, and back. A token is valid from the start of its first day to the end
of its last one, in a time zone. Pure.

The end of a day is the start of the next local day: on days when the clocks change that is not 24
hours after its start.
"""

import datetime as dt
import re
from enum import Enum
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from schemas.times import EARLIEST, LATEST, UnixMs

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AHEAD = (30, 90, 365)
_ONE_DAY = dt.timedelta(days=1)
_CONTINENTS = (
    "Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/",
    "Europe/", "Indian/", "Pacific/",
)  # fmt: skip


class Edge(Enum):
    """Which end of a day a date stands for."""

    START = "start"
    END = "end"

    def moment(self, day: dt.date, zone: ZoneInfo) -> UnixMs:
        """Return the moment that a day stands for. Raises ValueError for a day out of range."""
        return start_of(day if self is Edge.START else _next(day), zone)

    def day(self, at: UnixMs, zone: ZoneInfo) -> dt.date:
        """Return the day that a moment is shown as: the day in which the validity starts or ends."""
        return day_of(at if self is Edge.START else UnixMs(at - 1), zone)

    def is_met(self, at: UnixMs, zone: ZoneInfo) -> bool:
        """Return whether a moment is exactly this end of a day."""
        return at == start_of(day_of(at, zone), zone)


def start_of(day: dt.date, zone: ZoneInfo) -> UnixMs:
    """Return the first moment of a local day, also where it has no midnight, because the clocks go
    forward then. Raises ValueError for a day out of range.
    """
    midnight = dt.datetime(day.year, day.month, day.day, tzinfo=zone)
    at = UnixMs(round(midnight.timestamp()) * 1000)
    if not EARLIEST <= at <= LATEST:
        raise ValueError("there is no such day")
    return at


def day_of(at: UnixMs, zone: ZoneInfo) -> dt.date:
    """Return the local day of a moment."""
    return dt.datetime.fromtimestamp(at // 1000, zone).date()


def chosen(
    edge: Edge, typed: dt.date, zone: ZoneInfo, was: UnixMs | None, was_zone: ZoneInfo
) -> UnixMs:
    """Return the moment that a date field means, which had shown `was` in `was_zone`.

    A date that was left as it was keeps its moment to the millisecond. In another zone it does so
    only where it was not the end of a day: a whole day stays that day, in the new zone.
    """
    if was is not None and edge.day(was, was_zone) == typed:
        is_same_zone = zone.key == was_zone.key
        if is_same_zone or not edge.is_met(was, was_zone):
            return was
    return edge.moment(typed, zone)


def suggested_ends(now: UnixMs, zone: ZoneInfo) -> list[tuple[str, int]]:
    """Return last days to choose from, as fields hold them, each with how many days ahead it is."""
    today = day_of(now, zone)
    return [((today + ahead * _ONE_DAY).isoformat(), ahead) for ahead in _AHEAD]


def read_day(text: str) -> dt.date:
    """Read a day as browsers send it, `2027-03-31`. Raises ValueError."""
    if not _DAY.fullmatch(text):  # `fromisoformat` also reads weeks
        raise ValueError("a day is written like 2027-03-31")
    return dt.date.fromisoformat(text)


def zone_names() -> list[str]:
    """Return the zones to choose from, by city, and UTC."""
    return ["UTC", *sorted(name for name in _all_zones() if name.startswith(_CONTINENTS))]


def read_zone(name: str) -> ZoneInfo:
    """Return the zone of this name. Raises ValueError."""
    if name not in _all_zones():
        raise ValueError("there is no such time zone")
    return ZoneInfo(name)


@cache
def _all_zones() -> frozenset[str]:
    """Return all names. Asking for them opens each file of the database of zones."""
    return frozenset(available_timezones())


def _next(day: dt.date) -> dt.date:
    try:
        return day + _ONE_DAY
    except OverflowError:
        raise ValueError("there is no such day") from None
