r"""JSON read in full, slowly: what the fast decoders refuse although it is JSON, and what they do
not tell.

They take no half of a surrogate pair (`"\ud83d"`), and say nothing of a name that comes twice in an
object. Nothing is decided here. Called by `schemas.events.events` and its second look, never for an
ordinary event but for its depth, by `schemas.stored_values` and `web.models.parsing`.
"""

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple, NoReturn

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TWICE = "the name {name} comes twice in this object: which of the two is meant cannot be told"

_MOST_DIGITS = 4300
"""Of a whole number that Python makes (`sys.int_info`). A longer one counts as the largest of
these; what is passed on is its spelling.
"""

_HALF = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKETS_ONLY = bytes.maketrans(b"{}", b"[]"), bytes(set(range(256)) - set(b"[]{}"))
_RUN = re.compile(rb"\[+|\]+")
_WORTH_IT = 0.9
"""Of the brackets that were left: taking the next level away goes on while it leaves no more than
this.
"""


class Members(dict[str, object]):
    """An object. Of a name that comes more than once it holds the last value, as the fast decoders
    do; `doubled` are such names.
    """

    doubled: tuple[str, ...] = ()


class Member(NamedTuple):
    """`spelled` is the value as it was written."""

    name: str
    spelled: bytes


def decoded(body: bytes) -> str:
    """A byte order mark is skipped. Raises ValueError, in words, for what is not UTF-8."""
    try:
        return body.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        hint = ", but UTF-16" if body[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else ""
        raise ValueError(f"the body is not UTF-8{hint} (byte {error.start})") from None


def read(text: str) -> object:
    """Objects are `Members`. Raises ValueError, in words, for what is no JSON; RecursionError for
    what is nested too deeply.
    """
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        what = (
            "a byte order mark stands only at the very beginning"
            if text[error.pos : error.pos + 1] == "\ufeff"
            else error.msg
        )
        raise ValueError(
            f"JSON is malformed at line {error.lineno}, column {error.colno}: {what[:1].lower()}{what[1:]}"
        ) from None


def doubled(tree: object, at: str = "") -> Iterator[tuple[str, str]]:
    """Every name in it that comes twice in its object, with its RFC 6901 pointer."""
    if isinstance(tree, Members):
        for name, value in tree.items():
            pointer = f"{at}/{_step(name)}"
            if name in tree.doubled:
                yield name, pointer
            yield from doubled(value, pointer)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from doubled(value, f"{at}/{number}")


def without_halves(tree: object, halves: list[str], at: str = "") -> object:
    r"""The same with each half of a surrogate pair spelled out, as `\ud83d`; `halves` gets the
    pointers of such texts and names.
    """
    if isinstance(tree, str):
        return _whole_text(tree, halves, at)
    if isinstance(tree, list):
        return [
            without_halves(value, halves, f"{at}/{number}") for number, value in enumerate(tree)
        ]
    if not isinstance(tree, Members):
        return tree
    found = Members()
    for name, value in tree.items():
        whole = _whole_text(name, halves, f"{at}/{_step(_spelled(name))}")
        found[whole] = without_halves(value, halves, f"{at}/{_step(whole)}")
    found.doubled = tuple(_spelled(name) for name in tree.doubled)
    return found


def members(text: str) -> Iterator[Member]:
    """Of an object that `read` has taken, the outermost ones, in their order."""
    at = _behind(text, "{")
    while text[at] != "}":
        name, at = _decoder.raw_decode(text, at)
        start = _space(text, _space(text, at) + 1)
        _, at = _decoder.raw_decode(text, start)
        yield Member(str(name), text[start:at].encode())
        at = _next(text, at)


def items(text: str) -> Iterator[bytes]:
    """Of a list that `read` has taken, each as it was written."""
    at = _behind(text, "[")
    while text[at] != "]":
        _, end = _decoder.raw_decode(text, at)
        yield text[at:end].encode()
        at = _next(text, end)


def depth(text: bytes) -> int:
    """How many objects and lists are nested at most, in valid JSON. What is wide and flat goes
    level by level, what is deep in one pass.
    """
    outside_of_strings = b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets, levels, goes_on = outside_of_strings.translate(*_BRACKETS_ONLY), 0, True
    while brackets and goes_on:
        left = brackets.replace(b"[]", b"")
        goes_on = len(left) <= _WORTH_IT * len(brackets)
        brackets, levels = left, levels + 1
    steps = (len(run) if run.startswith(b"[") else -len(run) for run in _RUN.findall(brackets))
    return levels + max(accumulate(steps), default=0)


def _step(name: str) -> str:
    """Of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _spelled(text: str) -> str:
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _whole_text(text: str, halves: list[str], at: str) -> str:
    if text.isascii() or not _HALF.search(text):
        return text
    halves.append(at)
    return _spelled(text)


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None, "the empty text matches"
    return found.end()


def _behind(text: str, bracket: str) -> int:
    return _space(text, text.index(bracket) + 1)


def _next(text: str, at: int) -> int:
    """From the end of a value to the next one, or to the closing bracket."""
    at = _space(text, at)
    return _space(text, at + 1) if text[at] == "," else at


def _object(pairs: list[tuple[str, object]]) -> Members:
    found = Members(pairs)
    if len(found) < len(pairs):
        found.doubled = tuple(
            name for name, count in Counter(name for name, _ in pairs).items() if count > 1
        )
    return found


def _whole(digits: str) -> int:
    return int(digits if len(digits) <= _MOST_DIGITS else digits[:_MOST_DIGITS])


def _constant(name: str) -> NoReturn:
    raise ValueError(
        f"JSON is malformed: {name} is no JSON number; write null, or leave the field out"
    )


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_constant=_constant)
