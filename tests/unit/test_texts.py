"""Which characters are taken from people, and how others are spelled out."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import RequestId, TokenId
from schemas.request_log import logged_request
from schemas.texts import from_bytes, harmful, is_blank, spelled_out
from schemas.times import UnixMs
from tests.kit.tokens import token_fields

NAMES = [
    "株式会社\u3000山田",
    "Société\u00a0Générale",
    "10\u202f000 amis",
    "👩‍🔬 Labs",
    "👨‍👩‍👧‍👦",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿 Rovers",
    "❤️ & Co",
    "می‌خواهم",
    "क्‍ष",
    "שלום\u200f (עברית)",
    "\u061cشركة",
    "Nguyễn Văn A",
    "Z͑ͫa̍l̀g̅o",
    "ᓄᓇᕗᑦ",
    "𠮷野家",
    "\U00031350",  # an ideograph of Unicode 15
    "🫩 \U0001fadf",  # emoji of Unicode 16
    "soft\u00adhyphen",
    "\u3164ACME",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_in_every_script(name: str) -> None:
    """With their spaces, joiners, marks of direction and emoji; also what Python's Unicode does not
    know yet.
    """
    assert harmful(name) is None
    assert replace(token_fields(), name=name).faults() == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u3000",
        "\u00a0\t",
        "\u200d\u200b",
        "\ufeff",
        "\u3164",
        "\u2800",
        "\u115f\u1160",
        "\uffa0",
        "\ufe0f",
        "\u034f",
        "\u2066\u2069",
        "\u17b4",
        "\U000e0100",
        "\u2061",
    ],
)
def test_a_name_of_which_nothing_can_be_seen_is_none(name: str) -> None:
    """No one finds it in a list."""
    assert is_blank(name)
    assert [fault.pointer for fault in replace(token_fields(), name=name).faults()] == ["/name"]


@pytest.mark.parametrize(
    "name",
    [
        "\u202aACME\u202c",
        "\u202bشركة\u202c",
        "\u2066+39 02 1234\u2069",
        "\u2067\u05e9\u05dc\u2069",
        "\u2068Ada\u2069 \u200e\u061c",
    ],
)
def test_what_phones_put_around_a_copied_name_is_taken(name: str) -> None:
    """It overrides nothing. Where strangers' texts are shown it is spelled out all the same: left
    open, it turns around the line.
    """
    assert replace(token_fields(), name=name).faults() == []
    assert not {"\u202a", "\u202b", "\u202c", "\u2066", "\u2067", "\u2068", "\u2069"} & set(
        spelled_out(name)
    )


@pytest.mark.parametrize(
    ("character", "words"),
    [
        ("\u202d", "U+202D (LEFT-TO-RIGHT OVERRIDE)"),
        ("\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("\x1b", "U+001B (ESCAPE)"),
        ("\u2028", "U+2028 (LINE SEPARATOR)"),
        ("\u2029", "U+2029 (PARAGRAPH SEPARATOR)"),
        ("\u0378", "U+0378 (not assigned)"),
        ("\ue000", "U+E000 (for private use)"),
        ("\ud83d", "U+D83D (half of a surrogate pair)"),
    ],
)
def test_what_is_not_taken_is_named(character: str, words: str) -> None:
    """It cannot be seen in what was written."""
    (fault,) = replace(token_fields(), name=f"ACME{character}").faults()

    assert words in fault.detail


@given(st.text())
def test_what_is_spelled_out_holds_nothing_harmful(text: str) -> None:
    """This holds for any text, which can then be written into any database and file."""
    spelled = spelled_out(text)

    assert harmful(spelled) is None
    spelled.encode()
    assert spelled != text or harmful(text) is None


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co", "Zl", "Zp"])))
def test_only_overrides_are_refused_of_what_unicode_knows(text: str) -> None:
    """Nothing else of it does harm."""
    found = harmful(text)

    assert found is None or unicodedata.bidirectional(found) in {"LRO", "RLO"}


@given(st.binary())
def test_bytes_stay_to_be_seen(raw: bytes) -> None:
    """UTF-8 as such, and nothing is lost of what is none."""
    try:
        assert from_bytes(raw) == raw.decode()
    except UnicodeDecodeError:
        assert "\\x" in from_bytes(raw)
        assert "\ufffd" not in from_bytes(raw.replace(b"\xef\xbf\xbd", b""))


@pytest.mark.parametrize("text", NAMES)
def test_the_request_log_keeps_what_was_sent(text: str) -> None:
    """Spaces and joiners are no control characters."""
    row = logged_request(
        RequestId("req_1"), TokenId("tok_1"), UnixMs(1), method="GET", path=f"/{text}",
        address=None, user_agent=text,
        permission=None, allowed=True, reason=None,
    )  # fmt: skip

    assert (row.path, row.user_agent) == (f"/{text}", text)
