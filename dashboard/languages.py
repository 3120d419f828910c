"""The languages of the pages: texts from the catalogues, numbers and dates by Babel.

English is in the code, so it needs no catalogue. The only place that knows Babel.
"""

import datetime as dt
from dataclasses import dataclass, field
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO
from zoneinfo import ZoneInfo

from babel import Locale, dates, negotiate_locale, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from schemas.times import UnixMs

ENGLISH = "en"
CODES = (ENGLISH, "it")
"""The languages there are; the first is used when a browser asks for none of them."""


def to_say(english: str) -> str:
    """Return a text as it is. It is said later, so that it has to be in the catalogues."""
    return english


@dataclass(frozen=True)
class Language:
    """One language."""

    code: str
    texts: NullTranslations = field(default_factory=NullTranslations, repr=False)
    """Translations by the English text."""

    @property
    def name(self) -> str:
        """The language's name in itself."""
        return str(self._locale.language_name).capitalize()

    def text(self, english: str, **values: object) -> str:
        """Return a text, with `%(name)s` filled in. Without a translation it stays English."""
        text = self.texts.gettext(english)
        return text % values if values else text

    def plural(self, one: str, many: str, number: int, /, **values: object) -> str:
        """Return the text for this many, with `%(number)s` and the values filled in. `one` and
        `many` are the English of 1 and of other numbers: other languages may have more forms.
        """
        text = self.texts.ngettext(one, many, number)
        return text % ({"number": self.number(number)} | values)

    def number(self, value: float) -> str:
        """Return a number with the language's separators."""
        return str(numbers.format_decimal(value, locale=self._locale))

    def percent(self, ratio: float) -> str:
        """Return a ratio as a percentage with up to two decimals, rounded down near the whole:
        99.996 % is not 100 %.
        """
        floored = int(ratio * 10_000) / 10_000
        return str(numbers.format_percent(floored, "#,##0.##%", locale=self._locale))

    def moment(self, at: UnixMs, zone: ZoneInfo) -> str:
        """Return date and time to the second, in the zone."""
        return str(dates.format_datetime(_local(at, zone), "d MMM y HH:mm:ss", locale=self._locale))

    def clock(self, at: UnixMs, zone: ZoneInfo, now: UnixMs) -> str:
        """Return the time of day to the second, in the zone; with the date unless it is today."""
        if _local(at, zone).date() != _local(now, zone).date():
            return self.moment(at, zone)
        return str(dates.format_time(_local(at, zone), "HH:mm:ss", locale=self._locale))

    def minute(self, at: UnixMs, zone: ZoneInfo) -> str:
        """Return date and time to the minute, in the zone."""
        return str(dates.format_datetime(_local(at, zone), "d MMM y HH:mm", locale=self._locale))

    def day(self, at: UnixMs, zone: ZoneInfo) -> str:
        """Return the date in the zone."""
        return str(dates.format_date(_local(at, zone), "d MMM y", locale=self._locale))

    def short(self, at: UnixMs, zone: ZoneInfo, now: UnixMs) -> str:
        """Return the time of day to the minute, in the zone; with day and month unless it is today."""
        local = _local(at, zone)
        if local.date() == _local(now, zone).date():
            return f"{local:%H:%M}"
        return str(dates.format_datetime(local, "d MMM HH:mm", locale=self._locale))

    def ago(self, at: UnixMs, now: UnixMs) -> str:
        """Return how long before or after now a moment is, such as "3 minutes ago"."""
        delta = dt.timedelta(milliseconds=at - now)
        return str(
            dates.format_timedelta(delta, add_direction=True, threshold=1.2, locale=self._locale)
        )

    def span(self, seconds: float) -> str:
        """Return a length of time, such as "3 minutes"."""
        return str(
            dates.format_timedelta(
                dt.timedelta(seconds=seconds), threshold=1.2, locale=self._locale
            )
        )

    @property
    def _locale(self) -> Locale:
        # days before months, as in the rest of the world than the United States
        return Locale("en", "GB") if self.code == ENGLISH else Locale(self.code)


@cache
def language(code: str) -> Language:
    """Return one of the languages there are."""
    if code == ENGLISH:
        return Language(ENGLISH)
    with (files("dashboard") / "translations" / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(code, GNUTranslations(compiled))


def chosen(wanted: str | None, accepted: list[str]) -> Language:
    """Return the language that a person chose, or else the browser's, or else English."""
    if wanted in CODES:
        return language(wanted)
    return language(negotiate_locale(accepted, CODES, sep="-") or ENGLISH)


def _local(at: UnixMs, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(at / 1000, zone)
