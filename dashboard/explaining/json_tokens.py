"""JSON as tokens, spelled as they came: the numbers, the order of names and duplicate names stay as
they were sent, as no value is ever read. Pure.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<space> [ \t\n\r]+ )
    | (?P<text> "(?:[^"\\]++|\\.)*+" )
    | (?P<mark> [{}\[\]:,] )
    | (?P<word> [^ \t\n\r"{}\[\]:,]+ | " )
    """,
    re.VERBOSE | re.DOTALL,
)

_TURNING = re.compile(
    "[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc"
    "\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
"""Letters of scripts that are written from right to left, and characters that turn a text."""


class Kind(StrEnum):
    """What a token is."""

    SPACE = "space"
    TEXT = "text"
    """A text in quotation marks."""
    MARK = "mark"
    """A bracket, a colon or a comma."""
    WORD = "word"
    """A number, `true`, `false` or `null`; in what is no JSON, anything else."""


class Token(NamedTuple):
    """A piece of JSON."""

    kind: Kind
    spelled: str
    """The piece as it came."""


def tokens(text: str) -> Iterator[Token]:
    """Return the tokens of a text. Joined, they are the text, be it JSON or not."""
    for match in _TOKEN.finditer(text):
        assert match.lastgroup is not None, "every part of the pattern has a name"
        yield Token(Kind(match.lastgroup), match[0])


class Piece(NamedTuple):
    """A part of a line on a page."""

    text: str
    turns: bool
    """Whether it may be written from right to left, and then must not take along what follows."""


def pieces(text: str) -> list[Piece]:
    """Return a text in pieces: each token that may be written from right to left is one of its own.
    Joined, they are the text.
    """
    if not _TURNING.search(text):
        return [Piece(text, turns=False)]
    found = [Piece("", turns=False)]
    for token in tokens(text):
        if _TURNING.search(token.spelled):
            found += [Piece(token.spelled, turns=True), Piece("", turns=False)]
        else:
            found[-1] = Piece(found[-1].text + token.spelled, turns=False)
    return [piece for piece in found if piece.text]
