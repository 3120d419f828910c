"""Texts that people and programs write: which characters are taken, and how others are spelled out. Pure.

Every script is taken, with its spaces, joiners and emoji. What is not: characters that make lines, steer a terminal, or turn around
what stands beside them, and what is no character. Called for names, for the request log, and by whoever prints.
"""

import unicodedata

_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They show other text than there is. The marks U+200E, U+200F and U+061C only say how a neighbour is written: names have them."""

_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_UNASSIGNED = "Cn"
_TO_COME = (range(0x1F000, 0x1FB00), range(0x1FC00, 0x1FFFE), range(0x20000, 0x2FFFE), range(0x30000, 0x3FFFE))
"""Kept by Unicode for emoji and ideographs: a later version than Python knows has more of them, and so have people's keyboards."""

_CONTROLS = {0x00: "NULL", 0x09: "TAB", 0x0A: "LINE FEED", 0x0D: "CARRIAGE RETURN", 0x1B: "ESCAPE", 0x7F: "DELETE", 0x85: "NEXT LINE"}
_UNNAMED = {"Cc": "a control character", "Cs": "half of a surrogate pair", _UNASSIGNED: "not assigned"}


def harmful(text: str) -> str | None:
    """The first character that is not taken."""
    if text.isprintable():
        return None
    return next((one for one in text if _is_harmful(one)), None)


def is_blank(text: str) -> bool:
    """Whether nothing of it can be seen."""
    return all(one.isspace() or unicodedata.category(one) == "Cf" for one in text)


def named(character: str) -> str:
    """`U+202E (RIGHT-TO-LEFT OVERRIDE)`."""
    point = ord(character)
    name = _CONTROLS.get(point) or unicodedata.name(character, "") or _UNNAMED.get(unicodedata.category(character), "without a name")
    return f"U+{point:04X} ({name})"


def spelled_out(text: str, keep: str = "") -> str:
    r"""With each character that is not taken, but for those to keep, as Python and JSON spell it: `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(one.encode("unicode_escape").decode() if _is_harmful(one) and one not in keep else one for one in text)


def storable(text: str) -> str:
    """With another character for what no column of PostgreSQL and no header holds: U+0000 and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def from_bytes(raw: bytes) -> str:
    r"""What most clients mean: UTF-8. Bytes that are none stay to be seen, as `\xff`."""
    return raw.decode(errors="backslashreplace")


def _is_harmful(one: str) -> bool:
    kind = unicodedata.category(one)
    if kind == _UNASSIGNED:
        return not any(ord(one) in kept for kept in _TO_COME)
    return kind in _REFUSED or one in _OVERRIDES
