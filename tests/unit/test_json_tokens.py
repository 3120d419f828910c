"""Payloads on pages: the tokens are the text, and the layout leaves out only blanks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.explaining.folded_json import FoldedJson, folded, on_page
from dashboard.explaining.json_tokens import Kind, Piece, pieces, tokens

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=30,
)
_AS_CODE = st.text(alphabet='{}[]:,"\\ \n\t0a-.eé\U0001f600', max_size=60)


@given(st.text() | _AS_CODE)
def test_the_tokens_of_any_text_are_the_text(text: str) -> None:
    """Nothing is lost and nothing is added, be it JSON or not."""
    assert "".join(token.spelled for token in tokens(text)) == text


@given(_VALUES, st.sampled_from([None, 1, 3]))
def test_a_layout_has_every_token_in_its_order(value: object, indent: int | None) -> None:
    """However it came: spread over lines, or in one."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)

    layout = folded(text, 10_000, 1_000_000)

    assert _significant("".join(line.name + line.rest for line in layout.lines)) == _significant(
        text
    )
    assert not layout.is_cut
    assert layout.open_blocks == 0


@given(_AS_CODE)
def test_a_layout_of_what_is_no_json_loses_nothing(text: str) -> None:
    """A payload that cannot be read must be seen all the more."""
    layout = folded(text, 10_000, 1_000_000)

    shown = "".join(line.name + line.rest for line in layout.lines)
    assert _without_blanks(shown) == _without_blanks(text)


@pytest.mark.parametrize(
    "spelled",
    [
        "1.10",
        "9007199254740993",
        "1e400",
        "-0",
        "0.1000000000000000055511151231257827",
        '"\\u00e9"',
    ],
)
def test_values_are_spelled_as_they_were_sent(spelled: str) -> None:
    """A number that went through a float is another number."""
    (line,) = folded(f'{{"n":{spelled}}}', 10, 1000).lines[1:-1]

    assert (line.name, line.rest) == ('"n"', f": {spelled}")


def test_duplicate_names_and_their_order_are_kept() -> None:
    """A receiver may read the first or the last: people must see both."""
    layout = folded('{"b":1,"a":2,"b":3}', 10, 1000)

    assert [line.name for line in layout.lines] == ["", '"b"', '"a"', '"b"', ""]


def test_what_is_nested_deeper_than_two_levels_folds() -> None:
    """The outline of an event fits on a screen; details are a click away."""
    layout = folded('{"data":{"message":{"content":{"type":"text"},"x":[]}}}', 100, 1000)

    begun = [line for line in layout.lines if line.begins]
    assert [(line.name, line.entries) for line in begun] == [('"content"', 1)]
    assert [line.rest for line in layout.lines if line.ends] == ["},"]


def test_a_long_payload_is_cut_and_says_so() -> None:
    """A page with 256 KiB of it would be slow; the rest is on a page of its own."""
    text = json.dumps([{"a": {"b": {"c": {"d": [number]}}}} for number in range(1000)])

    by_lines, by_size = folded(text, 50, 1_000_000), folded(text, 100_000, 500)

    assert (by_lines.is_cut, len(by_lines.lines)) == (True, 50)
    assert by_size.is_cut
    assert sum(on_page(line.name + line.rest) for line in by_size.lines) <= 500
    assert by_lines.open_blocks == _open(by_lines)


@given(_VALUES, st.integers(0, 40))
def test_a_cut_layout_says_how_many_blocks_are_open(value: object, most: int) -> None:
    """They are closed by the page: an element that stays open would swallow what follows."""
    layout = folded(json.dumps({"a": {"b": {"c": value}}}), most, 1_000_000)

    assert layout.open_blocks == _open(layout)
    assert layout.open_blocks >= 0


def test_very_deep_nesting_is_laid_out() -> None:
    """It needs no recursion, and no more elements inside each other than browsers take."""
    layout = folded("[" * 20_000 + "]" * 20_000, 50_000, 100_000_000)

    assert sum(line.begins for line in layout.lines) <= 40
    assert not layout.is_cut


def _open(layout: FoldedJson) -> int:
    return sum(line.begins for line in layout.lines) - sum(line.ends for line in layout.lines)


def _significant(text: str) -> list[str]:
    return [token.spelled for token in tokens(text) if token.kind is not Kind.SPACE]


def _without_blanks(text: str) -> str:
    return "".join(text.split())


@given(st.text(alphabet='{}[]:,"\\ \n0aé\u05d0\u202e\u2067\u2069', max_size=40))
def test_pieces_are_the_text_and_what_turns_stands_alone(text: str) -> None:
    """Be it JSON or not, or cut off within a value."""
    found = pieces(text)

    assert "".join(piece.text for piece in found) == text
    turning = [piece.text for piece in found if piece.turns]
    assert not any(
        set(piece.text) & set("\u05d0\u202e\u2067") for piece in found if not piece.turns
    )
    assert all(len(list(tokens(piece))) == 1 for piece in turning)


def test_only_the_value_that_turns_is_kept_to_itself() -> None:
    """Names, numbers and marks around it stay in one piece."""
    assert pieces('{"a": 1, "b": "\u05d0", "c": 2}') == [
        Piece('{"a": 1, "b": ', turns=False),
        Piece('"\u05d0"', turns=True),
        Piece(', "c": 2}', turns=False),
    ]
