"""Texts that people and programs write: which characters are taken, and how others are spelled out.
Pure.

Every script is taken, with its spaces, joiners and emoji. What is not: characters that make lines,
steer a terminal, or turn around what stands beside them, and what is no character. Called for
names, for the request log, and by whoever prints.
"""

import unicodedata

_OVERRIDES = frozenset("\u202d\u202e")
"""They show other text than there is. Embeddings, isolates and marks only say how a text is
written: phones put them around what is copied.
"""

_TURNING = frozenset("\u202a\u202b\u202c\u2066\u2067\u2068\u2069")
"""Taken in names. Left open, in what strangers sent, they turn around the rest of the line in which
it is shown.
"""

_MOST_REPEATED = 200
"""Characters of what was sent, where a fault repeats it. More: an answer, and a dead letter's
reason, grows with what was wrong.
"""

_REFUSED = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})
_UNASSIGNED = "Cn"
_TO_COME = (
    range(0x1F000, 0x1FB00),
    range(0x1FC00, 0x1FFFE),
    range(0x20000, 0x2FFFE),
    range(0x30000, 0x3FFFE),
)
"""Kept by Unicode for emoji and ideographs: a later version than Python knows has more of them, and
so have people's keyboards.
"""

_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
)
"""Letters, marks and a pattern of Braille that are drawn as nothing. Beside blanks, format
characters and variation selectors.
"""

_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))

_CONTROLS = {
    0x00: "NULL",
    0x09: "TAB",
    0x0A: "LINE FEED",
    0x0D: "CARRIAGE RETURN",
    0x1B: "ESCAPE",
    0x7F: "DELETE",
    0x85: "NEXT LINE",
}
_UNNAMED = {
    "Cc": "a control character",
    "Cs": "half of a surrogate pair",
    "Co": "for private use",
    _UNASSIGNED: "not assigned",
}


def harmful(text: str) -> str | None:
    """The first character that is not taken."""
    if text.isprintable():
        return None
    return next((one for one in text if _is_harmful(one)), None)


def is_blank(text: str) -> bool:
    """Whether nothing of it can be seen."""
    return all(
        one.isspace()
        or unicodedata.category(one) == "Cf"
        or one in _UNSEEN
        or _is_among(one, _SELECTORS)
        for one in text
    )


def named(character: str) -> str:
    """`U+202E (RIGHT-TO-LEFT OVERRIDE)`."""
    point = ord(character)
    name = (
        _CONTROLS.get(point)
        or unicodedata.name(character, "")
        or _UNNAMED.get(unicodedata.category(character), "without a name")
    )
    return f"U+{point:04X} ({name})"


def spelled_out(text: str, keep: str = "") -> str:
    r"""For a line in which something else stands: with each character that is not taken, or turns
    directions, but for those to keep, as Python and JSON spell it: `\x1b`, `\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode() if _does_harm_beside(one) and one not in keep else one
        for one in text
    )


def shortened(text: str, most: int = _MOST_REPEATED) -> str:
    """What somebody sent, to be repeated to him."""
    return text if len(text) <= most else f"{text[:most]}…"


def storable(text: str) -> str:
    """With another character for what no column of PostgreSQL and no header holds: U+0000 and
    halves of surrogate pairs.
    """
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def from_bytes(raw: bytes) -> str:
    r"""What most clients mean: UTF-8. Bytes that are none stay to be seen, as `\xff`."""
    return raw.decode(errors="backslashreplace")


def _does_harm_beside(one: str) -> bool:
    return one in _TURNING or _is_harmful(one)


def _is_among(one: str, ranges: tuple[range, ...]) -> bool:
    return any(ord(one) in kept for kept in ranges)


def _is_harmful(one: str) -> bool:
    kind = unicodedata.category(one)
    if kind == _UNASSIGNED:
        return not _is_among(one, _TO_COME)
    return kind in _REFUSED or one in _OVERRIDES
