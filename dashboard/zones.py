"""The time zones that a person may choose."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

UTC = "UTC"
_NOT_FOR_PEOPLE = frozenset({"Factory", "localtime", "posixrules"})
"""Names in the database of time zones that stand for no place."""


@cache
def zone_names() -> tuple[str, ...]:
    """Return all names, in alphabetical order. The first call reads many small files."""
    return tuple(sorted(available_timezones() - _NOT_FOR_PEOPLE))


def is_zone(name: str) -> bool:
    """Return whether a time zone has this name."""
    return name in zone_names()


def zone(name: str | None) -> ZoneInfo:
    """Return a time zone; UTC for None, and for a zone that this machine does not know: another
    process may have stored it, whose database of time zones is newer.
    """
    return ZoneInfo(name if name is not None and is_zone(name) else UTC)
