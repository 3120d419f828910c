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
