r"""A complete and slow reader of JSON: it accepts JSON that the fast decoders refuse, and reports
what they ignore.

The fast decoders refuse half of a surrogate pair (`"\ud83d"`) and ignore a duplicate name in an
object. Nothing is judged here. Called by `schemas.events.events` (for ordinary events only
`depth`), `schemas.events.full_reading`, `schemas.events.stored_bodies` and `web.models.parsing`.
"""

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple, NoReturn

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DUPLICATE_NAME = "the name {name} occurs twice in this object: leave one of the two out"
"""The text of a fault."""

_MOST_DIGITS = 4300
"""The digits that Python reads in an integer (`sys.int_info`). A longer integer is compared by its
first digits, and passed on unchanged.
"""

_HALF = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKETS_ONLY = bytes.maketrans(b"{}", b"[]"), bytes(set(range(256)) - set(b"[]{}"))
_RUN = re.compile(rb"\[+|\]+")
_SHARE_LEFT = 0.9
"""Removing the innermost brackets continues while each pass leaves at most this share of them."""


class Members(dict[str, object]):
    """A JSON object. It holds the last value of a duplicate name, as the fast decoders do."""

    duplicates: tuple[str, ...] = ()
    """The names that occur more than once."""


class Member(NamedTuple):
    """One name of an object with its value."""

    name: str
    """The name, decoded."""

    spelled: bytes
    """The value as it was written."""


def decoded(body: bytes) -> str:
    """Return a body as a text, without a byte order mark. Raises ValueError, with a text for the
    client, for what is not UTF-8.
    """
    try:
        return body.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        hint = ", but UTF-16" if body[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else ""
        raise ValueError(f"the body is not UTF-8{hint} (byte {error.start})") from None


def read(text: str) -> object:
    """Read JSON, with objects as `Members`. Raises ValueError, with a text for the client, for what
    is not JSON, and RecursionError for what is nested too deeply.
    """
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        is_mark = text[error.pos : error.pos + 1] == "\ufeff"
        what = "a byte order mark is allowed only at the beginning" if is_mark else error.msg
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"JSON is malformed at {where}: {what[:1].lower()}{what[1:]}") from None


def duplicate_names(tree: object, at: str = "") -> Iterator[tuple[str, str]]:
    """Return every duplicate name in `tree` with its RFC 6901 pointer."""
    if isinstance(tree, Members):
        for name, value in tree.items():
            pointer = f"{at}/{_step(name)}"
            if name in tree.duplicates:
                yield name, pointer
            yield from duplicate_names(value, pointer)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from duplicate_names(value, f"{at}/{number}")


def without_halves(tree: object, halves: list[str], at: str = "") -> object:
    r"""Return `tree` with each half of a surrogate pair escaped, as `\ud83d`. The pointers of such
    texts and names are added to `halves`.
    """
    if isinstance(tree, str):
        return _whole_text(tree, halves, at)
    if isinstance(tree, list):
        return [
            without_halves(value, halves, f"{at}/{number}") for number, value in enumerate(tree)
        ]
    if not isinstance(tree, Members):
        return tree
    members = Members()
    for name, value in tree.items():
        whole = _whole_text(name, halves, f"{at}/{_step(_escaped(name))}")
        members[whole] = without_halves(value, halves, f"{at}/{_step(whole)}")
    members.duplicates = tuple(_escaped(name) for name in tree.duplicates)
    return members


def members(text: str) -> Iterator[Member]:
    """Return the members of an object that `read` has accepted, in their order."""
    at = _behind(text, "{")
    while text[at] != "}":
        name, at = _decoder.raw_decode(text, at)
        start = _space(text, _space(text, at) + 1)
        _, at = _decoder.raw_decode(text, start)
        yield Member(str(name), text[start:at].encode())
        at = _next(text, at)


def items(text: str) -> Iterator[bytes]:
    """Return the items of a list that `read` has accepted, each as it was written."""
    at = _behind(text, "[")
    while text[at] != "]":
        _, end = _decoder.raw_decode(text, at)
        yield text[at:end].encode()
        at = _next(text, end)


def depth(text: bytes) -> int:
    """Return the deepest nesting of objects and lists in valid JSON. Wide and flat JSON is measured
    level by level, deep JSON in one pass.
    """
    outside_of_strings = b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets, levels, goes_on = outside_of_strings.translate(*_BRACKETS_ONLY), 0, True
    while brackets and goes_on:
        left = brackets.replace(b"[]", b"")
        goes_on = len(left) <= _SHARE_LEFT * len(brackets)
        brackets, levels = left, levels + 1
    steps = (len(run) if run.startswith(b"[") else -len(run) for run in _RUN.findall(brackets))
    return levels + max(accumulate(steps), default=0)


def step_of(name: str) -> str:
    """Return a name of an object, however odd, as a step of a pointer that JSON can hold."""
    return _step(_escaped(name))


def _step(name: str) -> str:
    """Return a name as a step of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _escaped(text: str) -> str:
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _whole_text(text: str, halves: list[str], at: str) -> str:
    if text.isascii() or not _HALF.search(text):
        return text
    halves.append(at)
    return _escaped(text)


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None, "the empty text matches"
    return match.end()


def _behind(text: str, bracket: str) -> int:
    return _space(text, text.index(bracket) + 1)


def _next(text: str, at: int) -> int:
    """Return the position of the next value, or of the closing bracket, after a value's end."""
    at = _space(text, at)
    return _space(text, at + 1) if text[at] == "," else at


def _object(pairs: list[tuple[str, object]]) -> Members:
    members = Members(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        members.duplicates = tuple(name for name, count in counts.items() if count > 1)
    return members


def _whole(digits: str) -> int:
    return int(digits if len(digits) <= _MOST_DIGITS else digits[:_MOST_DIGITS])


def _constant(name: str) -> NoReturn:
    raise ValueError(
        f"JSON is malformed: {name} is not a JSON number; write null, or leave the field out"
    )


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_constant=_constant)
