"""Every text in every language; numbers and dates as they are written there."""

import re
from zoneinfo import ZoneInfo

import pytest

from dashboard.languages import CODES, ENGLISH, chosen, language
from schemas.times import UnixMs
from tests.pages.catalogue import extracted, translated

OTHERS = [code for code in CODES if code != ENGLISH]
_PLACE = re.compile(r"%\(\w+\)s")
AT = UnixMs(1_774_998_000_000)  # 31 March 2026, 23:00 UTC


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated(code: str) -> None:
    """And no translation is left of a text that no page says: it would be kept for nothing."""
    said = {message.id for message in extracted() if message.id}
    known = {m.id: m.string for m in translated(code) if m.id and m.string and not m.fuzzy}

    assert said - known.keys() == set()
    assert known.keys() - said == set()


@pytest.mark.parametrize("code", OTHERS)
def test_translations_fill_in_the_same_values(code: str) -> None:
    """A name that is wrong would be an error on the page."""
    wrong = {
        str(message.id): str(message.string)
        for message in translated(code)
        if sorted(_PLACE.findall(str(message.id))) != sorted(_PLACE.findall(str(message.string)))
        and message.id
    }

    assert wrong == {}


def test_a_person_s_choice_wins_over_the_browser_s() -> None:
    assert chosen("it", ["en"]).code == "it"
    assert chosen(None, ["de", "it-IT", "en"]).code == "it"
    assert chosen(None, ["de"]).code == ENGLISH


def test_times_are_written_in_the_zone() -> None:
    """The end of a day in Rome is not that in London."""
    rome, english, italian = ZoneInfo("Europe/Rome"), language(ENGLISH), language("it")

    assert english.minute(AT, ZoneInfo("UTC")) == "31 Mar 2026 23:00"
    assert english.minute(AT, rome) == "1 Apr 2026 01:00"
    assert italian.day(AT, rome) == "1 apr 2026"


def test_a_ratio_is_not_rounded_up_to_the_whole() -> None:
    """99.996 % delivered is not all."""
    assert language(ENGLISH).percent(0.99996) == "99.99%"
    assert language(ENGLISH).percent(1.0) == "100%"
    assert language("it").number(1234567.5) == "1.234.567,5"
