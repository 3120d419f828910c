"""Texts from people and programs: which characters are accepted, and how others are escaped. Pure.

Every script is accepted, with its spaces, joiners and emoji. Refused are characters that begin
lines, control a terminal or reverse the text next to them, and code points that are no characters.
Called for names, for the request log, and for output.
"""

import unicodedata

_OVERRIDES = frozenset("\u202d\u202e")
"""Characters that make a text look like another one. Embeddings, isolates and marks are accepted:
they only give the direction of a text, and phones put them around copied text.
"""

_REVERSING = frozenset("\u202a\u202b\u202c\u2066\u2067\u2068\u2069")
"""Characters that are accepted in names and escaped in lines of output: left open, they reverse the
rest of the line.
"""

_MOST_REPEATED = 200
"""Characters of an input that a fault repeats. More: a response, and a dead letter's reason, grows
with the wrong input. Fewer: the input is harder to recognize.
"""

_REFUSED = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})
_UNASSIGNED = "Cn"
_RESERVED = (
    range(0x1F000, 0x1FB00),
    range(0x1FC00, 0x1FFFE),
    range(0x20000, 0x2FFFE),
    range(0x30000, 0x3FFFE),
)
"""Ranges that Unicode reserves for emoji and ideographs: a later version than Python's has more of
them, and so do people's keyboards.
"""

_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
)
"""Letters, marks and a Braille pattern that are drawn as nothing, in addition to white space,
format characters and variation selectors.
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
    """Return the first character that is not accepted, or None."""
    if text.isprintable():
        return None
    return next((character for character in text if _is_harmful(character)), None)


def is_blank(text: str) -> bool:
    """Return whether no character of a text is visible."""
    return all(
        character.isspace()
        or unicodedata.category(character) == "Cf"
        or character in _UNSEEN
        or _is_among(character, _SELECTORS)
        for character in text
    )


def name_fault(name: str, most: int) -> str | None:
    """Return why a name of at most so many characters cannot be this one; None: it can."""
    if is_blank(name) or len(name) > most:
        return f"a name has 1 to {most} characters, and not only invisible ones"
    if character := harmful(name):
        return f"a name cannot hold {named(character)}: leave it out"
    return None


def named(character: str) -> str:
    """Return a character's code point and name, such as `U+202E (RIGHT-TO-LEFT OVERRIDE)`."""
    point = ord(character)
    name = (
        _CONTROLS.get(point)
        or unicodedata.name(character, "")
        or _UNNAMED.get(unicodedata.category(character), "without a name")
    )
    return f"U+{point:04X} ({name})"


def spelled_out(text: str, keep: str = "") -> str:
    r"""Return a text that is safe within a line of output. Characters that are not accepted, or
    that reverse text, are escaped as in Python and JSON (`\x1b`, `\u202e`), except those in `keep`.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if _is_harmful_in_line(character) and character not in keep
        else character
        for character in text
    )


def shortened(text: str, most: int = _MOST_REPEATED) -> str:
    """Return at most `most` characters of an input, for a fault that repeats it."""
    return text if len(text) <= most else f"{text[:most]}…"


def storable(text: str) -> str:
    """Return a text that a column of PostgreSQL and a header can hold: U+0000 and halves of
    surrogate pairs are replaced.
    """
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def from_bytes(raw: bytes) -> str:
    r"""Return bytes as a text in UTF-8; other bytes are escaped, as `\xff`."""
    return raw.decode(errors="backslashreplace")


def _is_harmful_in_line(character: str) -> bool:
    return character in _REVERSING or _is_harmful(character)


def _is_among(character: str, ranges: tuple[range, ...]) -> bool:
    return any(ord(character) in points for points in ranges)


def _is_harmful(character: str) -> bool:
    category = unicodedata.category(character)
    if category == _UNASSIGNED:
        return not _is_among(character, _RESERVED)
    return category in _REFUSED or character in _OVERRIDES
