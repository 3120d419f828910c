"""The form with a token's name, contact and days: as text, from a token and into a request's body.
Pure.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from zoneinfo import ZoneInfo

from dashboard.tokens.days import Edge, chosen, read_day, read_zone
from dashboard.tokens.faults import Faults, Say
from dashboard.tokens.sent import Sent
from schemas.times import UnixMs, to_rfc3339_or_none
from schemas.tokens.fields import TokenFields

WAS = "was."
"""Begins the names of hidden fields, which hold what the form showed when it was loaded."""


@dataclass(frozen=True, slots=True)
class Details:
    """What is in the fields."""

    name: str = ""
    contact: str = ""
    activates_on: str = ""
    """The first day of validity; empty: from now on."""
    expires_on: str = ""
    """The last day of validity; empty: it never expires."""
    zone: str = "UTC"
    """The zone of both days."""

    @classmethod
    def of(cls, token: TokenFields, zone: ZoneInfo) -> "Details":
        """Return what the form shows of a token."""
        return cls(
            token.name,
            token.contact or "",
            Edge.START.day(token.activates_at, zone).isoformat(),
            "" if token.expires_at is None else Edge.END.day(token.expires_at, zone).isoformat(),
            zone.key,
        )

    @classmethod
    def typed(cls, form: Sent) -> "Details":
        """Return what was typed, without the blanks around it."""
        return cls(**{field.name: form.get(field.name, "").strip() for field in fields(cls)})

    @classmethod
    def shown(cls, form: Mapping[str, str]) -> "Details":
        """Return what the form showed when it was loaded. Raises KeyError if it does not say so."""
        return cls(**{field.name: form[WAS + field.name] for field in fields(cls)})

    def read(self, say: Say) -> tuple["Days", Faults]:
        """Return the days, and what is wrong with them by field."""
        faults: Faults = {}
        try:
            zone = read_zone(self.zone)
        except ValueError:
            zone = ZoneInfo("UTC")
            faults["zone"] = say("There is no such time zone: choose one, such as Europe/Rome.")
        days: list[dt.date | None] = []
        for field, edge in (("activates_on", Edge.START), ("expires_on", Edge.END)):
            try:
                days.append(_day(getattr(self, field), edge, zone))
            except ValueError:
                days.append(None)
                faults[field] = say("There is no such day: write it like 2027-03-31.")
        first, last = days
        if first and last and last < first:
            faults["expires_on"] = say(
                "It would never be valid: this day is before the first one. Choose a later one, or"
                " leave it empty."
            )
        return Days(first, last, zone), faults


@dataclass(frozen=True, slots=True)
class Days:
    """When a token is to be valid."""

    first: dt.date | None
    last: dt.date | None
    zone: ZoneInfo

    def activates_at(self, was: UnixMs | None, was_zone: ZoneInfo, now: UnixMs) -> UnixMs | None:
        """Return the first moment of validity; None: a new token's, from its creation on.

        Without a day it begins now, if it has not begun.
        """
        if self.first is None:
            return None if was is None else min(was, now)
        return chosen(Edge.START, self.first, self.zone, was, was_zone)

    def expires_at(self, was: UnixMs | None, was_zone: ZoneInfo) -> UnixMs | None:
        """Return the end of validity; None: it never expires."""
        return None if self.last is None else chosen(Edge.END, self.last, self.zone, was, was_zone)


def body(
    typed: Details, days: Days, was: TokenFields | None, was_zone: ZoneInfo, now: UnixMs
) -> dict[str, object]:
    """Return the part of a request's body. `was`: the token as it is stored; None: a new one."""
    began, ended = (was.activates_at, was.expires_at) if was else (None, None)
    return {
        "name": typed.name,
        "contact": typed.contact or None,
        "activates_at": to_rfc3339_or_none(days.activates_at(began, was_zone, now)),
        "expires_at": to_rfc3339_or_none(days.expires_at(ended, was_zone)),
    }


def merged(mine: Details, was: Details, theirs: Details) -> tuple[Details, dict[str, str]]:
    """Join what one person typed with what another one saved meanwhile.

    A field that only the other one changed shows theirs; what both changed keeps mine. Return also
    what stands there now, by field, where the other one changed it and it is not what is shown or
    was not what was typed.
    """
    sent, known, stored = asdict(mine), asdict(was), asdict(theirs)
    changed = {
        name: stored[name]
        for name in stored
        if stored[name] != known[name] and stored[name] != sent[name]
    }
    taken = {name: text for name, text in changed.items() if sent[name] == known[name]}
    return replace(mine, **taken), changed


def _day(text: str, edge: Edge, zone: ZoneInfo) -> dt.date | None:
    """Return the day that was typed, if any. Raises ValueError."""
    if not text:
        return None
    day = read_day(text)
    edge.moment(day, zone)  # the year 9999 has no end that could be written
    return day
