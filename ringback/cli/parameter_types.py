"""How arguments are written: times, durations, callbacks. A wrong one is click's usage error, exit
status 2.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import click

from schemas.events.types import EventType
from schemas.times import from_rfc3339, parse_duration
from schemas.tokens.secrets import signing_key

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Parsed(click.ParamType[T]):
    """An argument read by a function that raises ValueError."""

    def __init__(self, name: str, read: Callable[[str], T]):
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Read a text. A default is returned as it is."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # a default, already what it should be
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def one_of(closed_set: type[E]) -> Parsed[E]:
    """Return the type of a member of an enumeration, given by its value. Click's own choice would
    use the names in the code.
    """
    known = ", ".join(closed_set)

    def read(text: str) -> E:
        if text not in list(closed_set):
            raise ValueError(f"{text!r} is not one of {known}")
        return closed_set(text)

    return Parsed(closed_set.__name__, read)


def _read_text(text: str) -> str:
    """Return a text that is not empty and is UTF-8.

    An unset shell variable leaves nothing between its quotes, which must not mean "any". The system
    passes other bytes on as halves of surrogate pairs, which no database accepts.
    """
    if not text:
        raise ValueError("this is empty: give a value, or omit the option")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "this is not UTF-8, as every name and id is: does it come from a file or a terminal in "
            "another encoding?"
        ) from None
    return text


class FiniteRange(click.FloatRange):
    """A finite number between bounds. Click accepts `nan`, which is neither below nor above a
    bound.
    """

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class CallbackArgument(NamedTuple):
    """The value of one `--callback TYPE=URL`."""

    type: EventType
    url: str


def _read_callback(text: str) -> CallbackArgument:
    """Read TYPE=URL. Errors never repeat it, as a callback's URL may hold a key."""
    event_type, _, url = text.partition("=")
    if not url or event_type not in list(EventType):
        raise ValueError(f"this is not TYPE=URL with one of {', '.join(EventType)}")
    return CallbackArgument(EventType(event_type), url)


TEXT = Parsed("text", _read_text)
TIME = Parsed("time", from_rfc3339)
DURATION = Parsed("duration", parse_duration)
CALLBACK = Parsed("type=url", _read_callback)
SIGNING_KEY = Parsed("whsec", signing_key)
EVENT_TYPE = one_of(EventType)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
