"""Every text in every language; numbers and dates as they are written there."""

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest

from dashboard.languages import CODES, ENGLISH, chosen, language
from schemas.times import UnixMs
from tests.pages.catalogue import extracted, is_translated, translated

OTHERS = [code for code in CODES if code != ENGLISH]
_PLACE = re.compile(r"%\((\w+)\)s")
_MANY = re.compile(r"%\((\w+)\)s (?:or more |active )?(?!is\b|has\b|was\b|does\b)[a-z]+s\b")
"""A value and what may be a noun in the plural."""

NO_NUMBERS = {"by", "name", "type", "ms", "most", "signing"}
"""Values whose text needs one form: names; milliseconds, which are the same two letters whatever
their number is; and limits, which are more than one.
"""

_ONE_OF_MANY = re.compile(r"\b1 (?:active )?(?!is\b|was\b|works\b)[a-z]+s\b")
AT = UnixMs(1_774_998_000_000)  # 31 March 2026, 23:00 UTC


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated(code: str) -> None:
    """And no translation is left of a text that no page says: it would be kept for nothing."""
    said = {message.id for message in extracted() if message.id}
    known = {m.id for m in translated(code) if m.id and is_translated(m.string) and not m.fuzzy}

    assert said - known == set()
    assert known - said == set()


@pytest.mark.parametrize("code", OTHERS)
def test_translations_fill_in_the_same_values(code: str) -> None:
    """A name that is wrong would be an error on the page. Only what is said of 1 may leave out the
    number.
    """
    wrong = []
    for message in translated(code):
        english, other = _forms(message.id), _forms(message.string)
        values = set(_PLACE.findall(english[-1]))
        if any(set(_PLACE.findall(form)) != values for form in other[1:] or other):
            wrong.append(other)
        if not values - {"number"} <= set(_PLACE.findall(other[0])) <= values:
            wrong.append(other)

    assert wrong == []


def test_what_is_counted_has_a_text_for_one() -> None:
    """One sees "1 deliveries" otherwise. `%(number)s` stands where there are forms to choose from."""
    wrong = [
        message.id
        for message in extracted()
        if isinstance(message.id, str)
        and ("%(number)s" in message.id or set(_MANY.findall(message.id)) - NO_NUMBERS)
    ]

    assert wrong == []


@pytest.mark.parametrize("code", CODES)
def test_one_and_many_are_said_apart(code: str) -> None:
    """Each text with a number, said of 1, 2 and 1,000,000: all filled in, and English says of one
    thing nothing in the plural.
    """
    for message in extracted():
        if not message.pluralizable:
            continue
        values = dict.fromkeys(_PLACE.findall(message.id[1]), "X")
        values.pop("number", None)
        one, two, many = (
            language(code).plural(*message.id, number, **values) for number in (1, 2, 1_000_000)
        )

        assert "%(" not in one + two + many
        assert code != ENGLISH or not _ONE_OF_MANY.search(one), one
        assert two == many.replace(language(code).number(1_000_000), "2")


def test_italian_has_its_own_words_for_one() -> None:
    assert language("it").plural("%(number)s delivery", "%(number)s deliveries", 1) == "1 consegna"
    assert language("it").plural("%(number)s delivery", "%(number)s deliveries", 0) == "0 consegne"


def _forms(text: str | Sequence[str]) -> list[str]:
    """The forms of a text; the only one of a text without a number."""
    return [text] if isinstance(text, str) else list(text)


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
