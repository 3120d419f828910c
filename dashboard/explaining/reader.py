"""Who an explanation is for, and small words that several of them need."""

from typing import Protocol
from zoneinfo import ZoneInfo

from dashboard.languages import ENGLISH, Language
from schemas.times import UnixMs


class Reader(Protocol):
    """A person's language, zone and moment: a visit."""

    @property
    def language(self) -> Language: ...
    @property
    def zone(self) -> ZoneInfo: ...
    @property
    def now(self) -> UnixMs: ...
    def say(self, text: str, **values: object) -> str: ...


def at(to: Reader, moment: UnixMs) -> str:
    """Return a moment as it is written in a sentence: the time, with the date unless it is today."""
    return to.language.clock(moment, to.zone, to.now)


def nth(to: Reader, number: int) -> str:
    """Return an ordinal number: 1st, 2nd; 1º, 2º."""
    if to.language.code != ENGLISH:
        return f"{number}º"
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number % 10, 'th')}"
