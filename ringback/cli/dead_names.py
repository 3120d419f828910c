"""How a person names dead letters on the command line: by number, by mark, or by both.

A number is a place on the list and changes when letters come or go. A mark belongs to the letter.
Called by `ringback.cli.dead` and `ringback.cli.dead_stores`.
"""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import click

from exchange.dead_letters import DeadLetter
from schemas.errors import Conflict, NotFound

_NUMBER = re.compile("[1-9][0-9]{0,8}")
_MARK = re.compile("(?:([1-9][0-9]{0,8})?:)?([0-9a-f]{4,64})")
_SHOWN_MARK = 4
"""Digits of a mark on a list. More: longer to type. Fewer: another letter that took the number is
more often mistaken for the one that was listed.
"""


class LetterName(NamedTuple):
    """The name of one dead letter: its number, the beginning of its mark, or both, which must then
    agree.
    """

    number: int | None
    """Its place on the list, counted from 1."""
    mark: str
    """Hexadecimal digits; empty when only the number is given."""

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part)


class LetterNameType(click.ParamType[LetterName]):
    """An argument such as `2:9f3c`, `2` or `9f3c`."""

    name = "letter"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> LetterName:
        """Return the name that a text is."""
        text = str(value)
        if _NUMBER.fullmatch(text):
            return LetterName(int(text), "")
        if match := _MARK.fullmatch(text):
            return LetterName(int(match[1]) if match[1] else None, match[2])
        return self.fail(
            f"{text!r} names no dead letter: write 2:9f3c as `dead list` shows it, or 2 or 9f3c "
            "alone",
            param,
            ctx,
        )


def shown_name(number: int, letter: DeadLetter) -> str:
    """Return the name that a list shows."""
    return f"{number}:{letter.mark[:_SHOWN_MARK]}"


def named_numbers(names: Collection[LetterName], letters: Sequence[DeadLetter]) -> set[int]:
    """Return the numbers of the letters that are named, counted from 1. Raises NotFound, and
    Conflict when a number and a mark do not agree.
    """
    return {_number(name, letters) for name in names}


def _number(name: LetterName, letters: Sequence[DeadLetter]) -> int:
    if name.number is None:
        return _number_of_mark(name, letters)
    if name.number > len(letters):
        raise _no_such(name.number, len(letters))
    if not letters[name.number - 1].mark.startswith(name.mark):
        raise Conflict(
            f"dead letter {name.number} is no longer {name}: letters came or went since it was "
            "listed. See `ringback dead list`"
        )
    return name.number


def _number_of_mark(name: LetterName, letters: Sequence[DeadLetter]) -> int:
    fitting = [
        number for number, letter in enumerate(letters, 1) if letter.mark.startswith(name.mark)
    ]
    if not fitting:
        raise NotFound(f"there is no dead letter {name}: see `ringback dead list`")
    if len({letters[number - 1].mark for number in fitting}) > 1:
        raise Conflict(
            f"{len(fitting)} dead letters are {name}: give the number too, such as "
            f"{fitting[0]}:{name.mark}"
        )
    return fitting[0]


def _no_such(number: int, count: int) -> NotFound:
    return NotFound(
        f"there is no dead letter {number}: there are {count}"
        if count
        else "there are no dead letters"
    )
