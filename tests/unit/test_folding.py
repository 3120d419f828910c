"""Texts without case."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.folding import folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MÜLLER GmbH", "müller gmbh"),
        ("Mu\u0308ller", "MÜLLER"),
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδος"),
        ("ЖУРНАЛ", "журнал"),
        ("\uff21\uff23\uff2d\uff25", "acme"),
        ("株式会社\u3000山田", "株式会社 山田"),
        ("IŞIK", "\u0131ş\u0131k"),
        ("İSTANBUL", "istanbul"),
        ("İstanbul", "ISTANBUL"),
    ],
)
def test_letters_that_differ_in_case_alone_are_one(one: str, other: str) -> None:
    """In every script that has two cases, however it is composed."""
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Muller", "Müller"), ("ACME", "ACNE"), ("\u0430", "a")]
)
def test_what_differs_otherwise_stays_different(one: str, other: str) -> None:
    """Marks are letters of their own to those whose names have them; and the Cyrillic a is no Latin
    one.
    """
    assert folded(one) != folded(other)


def test_a_row_of_accents_takes_no_time() -> None:
    """People search with what they paste; sorting accents takes seconds, for the whole process."""
    accents = "\u0301" * 20_000 + "\u0327" * 20_000
    begun_s = time.process_time()

    assert folded("A" * 200 + accents).startswith("a" * 199)

    assert time.process_time() - begun_s < 1


@given(st.text(max_size=20))
def test_folding_again_changes_nothing(text: str) -> None:
    """The stored name and the requested name are equal, whichever was folded before."""
    assert folded(folded(text)) == folded(text)


@given(st.text(max_size=20))
def test_case_makes_no_difference(text: str) -> None:
    """This holds for any text, as far as its capitals lead back to it."""
    if folded(text.upper().lower()) == folded(text):
        assert folded(text.upper()) == folded(text)
