"""JSON laid out for reading: one value a line, indented, and what is nested deeper than two levels in
blocks that fold. Made from tokens, so that every value is spelled as it was sent. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from dashboard.explaining.json_tokens import Kind, Piece, Token, pieces, tokens

UNFOLDED_LEVELS = 2
"""Levels inside of the outermost object that do not fold. More: long payloads begin with much that
is not looked for. Fewer: more clicks.
"""

MOST_LEVELS = 40
"""Levels that fold. Browsers stop nesting elements at some hundred."""

OPEN_LINES = 80
"""A payload of at most so many lines is shown with everything unfolded."""

_INDENT = "  "
_MOST_INDENT = 40
"""Levels that are indented: very deep ones would otherwise be mostly blanks."""
_LINE_BYTES = 12
"""What a page needs for a line apart from its text."""
_TURNING_BYTES = len("<bdi></bdi>")

_OPENING, _CLOSING = "{[", "}]"


@dataclass(frozen=True, slots=True)
class Line:
    """One line. With `begins` a block that folds begins, whose first line this is, with `ends` the
    last line of the innermost block.
    """

    indent: str
    name: str
    """The name with its quotation marks; empty: there is none."""
    rest: str
    """What follows the name: the colon, the value, the comma."""
    begins: bool = False
    ends: bool = False
    entries: int = 0
    """How many values the object or list has that begins here."""

    @property
    def name_pieces(self) -> list[Piece]:
        """The name as a page writes it."""
        return pieces(self.name)

    @property
    def rest_pieces(self) -> list[Piece]:
        """What follows the name, as a page writes it."""
        return pieces(self.rest)


@dataclass(frozen=True, slots=True)
class FoldedJson:
    """A layout."""

    lines: list[Line]
    open_blocks: int
    """Blocks that are still open after the last line, because the layout was cut off."""
    is_cut: bool

    @property
    def is_short(self) -> bool:
        """Whether everything is shown unfolded."""
        return not self.is_cut and len(self.lines) <= OPEN_LINES


@dataclass(slots=True)
class _Layout:
    most_lines: int
    most_bytes: int
    lines: list[Line] = field(default_factory=list)
    blocks: list[bool] = field(default_factory=list)
    """For each open object or list whether it folds."""
    name: str = ""
    rest: str = ""
    has_content: bool = False
    is_cut: bool = False

    def put(self, *, begins: bool = False, ends: bool = False, entries: int = 0) -> None:
        """End the current line."""
        depth = min(len(self.blocks), _MOST_INDENT)
        line = Line(_INDENT * depth, self.name, self.rest, begins, ends, entries)
        self.most_bytes -= len(line.indent) + _LINE_BYTES + on_page(line.name + line.rest)
        if len(self.lines) >= self.most_lines or self.most_bytes < 0:
            self.is_cut = True
        else:
            self.lines.append(line)
        self.name, self.rest, self.has_content = "", "", False

    def begin(self, bracket: str, entries: int) -> None:
        folds = UNFOLDED_LEVELS < len(self.blocks) <= MOST_LEVELS
        self.rest += bracket
        self.put(begins=folds, entries=entries)
        self.blocks.append(folds)

    def end(self, bracket: str, comma: str) -> None:
        if self.has_content:
            self.put()
        if self.is_cut:
            return
        folds = self.blocks.pop() if self.blocks else False
        self.rest = bracket + comma
        self.put(ends=folds)


def on_page(text: str) -> int:
    """Return how many bytes a text takes on a page, where some characters are escaped, and what is
    written from right to left is kept to itself.
    """
    turning = sum(piece.turns for piece in pieces(text))
    return len(escape(text).encode(errors="replace")) + turning * _TURNING_BYTES


def folded(text: str, most_lines: int, most_bytes: int) -> FoldedJson:
    """Return the layout of a JSON text, cut off after so many lines, or so many bytes of a page."""
    shown = [token for token in tokens(text) if token.kind is not Kind.SPACE]
    entries = _entries(shown)
    layout = _Layout(most_lines, most_bytes)
    number = 0
    while number < len(shown) and not layout.is_cut:
        number = _take(layout, shown, entries, number)
    if layout.has_content and not layout.is_cut:
        layout.put()
    # a block whose first line did not fit was never begun
    begun = sum(line.begins for line in layout.lines) - sum(line.ends for line in layout.lines)
    return FoldedJson(layout.lines, begun, layout.is_cut)


def _take(layout: _Layout, shown: Sequence[Token], entries: dict[int, int], number: int) -> int:
    """Lay out the token of this number. Return the number of the next."""
    kind, spelled = shown[number]
    following = shown[number + 1].spelled if number + 1 < len(shown) else ""
    if kind is not Kind.MARK:
        if kind is Kind.TEXT and following == ":" and not layout.has_content:
            layout.name = spelled
        else:
            layout.rest += spelled
        layout.has_content = True
    elif spelled == ":":
        layout.rest += ": "
        layout.has_content = True
    elif spelled == ",":
        layout.rest += ","
        layout.put()
    elif spelled in _OPENING and following and following in _CLOSING:
        layout.rest += spelled + following
        layout.has_content = True
        return number + 2
    elif spelled in _OPENING:
        layout.begin(spelled, entries.get(number, 0))
    else:
        has_comma = following == ","
        layout.end(spelled, "," if has_comma else "")
        return number + 1 + has_comma
    return number + 1


def _entries(shown: Sequence[Token]) -> dict[int, int]:
    """Return how many values each object or list has, by the number of the token that begins it."""
    counts: dict[int, int] = {}
    begun: list[int] = []
    for number, token in enumerate(shown):
        if token.kind is not Kind.MARK:
            continue
        if token.spelled in _OPENING:
            begun.append(number)
            counts[number] = 1
        elif token.spelled in _CLOSING and begun:
            begun.pop()
        elif token.spelled == "," and begun:
            counts[begun[-1]] += 1
    return counts
