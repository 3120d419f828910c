"""Secrets as text: tokens with a checksum, signing secrets as Standard Webhooks spells them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tokens.secrets import (
    is_token,
    new_signing_secret,
    new_token,
    signing_key,
    signing_secret_text,
    token_hash,
    token_hint,
)

PUBLISHED = "rbk_0123456789ABCDEFGHIJabcdefghij0BQj2z"


def test_the_published_example_is_well_formed() -> None:
    """Suppliers check their own against it."""
    assert is_token(PUBLISHED)


def test_a_new_token_is_well_formed_and_new() -> None:
    """178 random bits."""
    made = {new_token() for _ in range(100)}

    assert len(made) == 100
    assert all(is_token(token) for token in made)


@given(st.integers(0, len(PUBLISHED) - 1), st.characters())
def test_a_mistyped_token_is_recognized_by_its_checksum(place: int, character: str) -> None:
    """Any one character: so a typing mistake costs no look-up."""
    mistyped = PUBLISHED[:place] + character + PUBLISHED[place + 1 :]

    assert is_token(mistyped) is (mistyped == PUBLISHED)


@given(st.text(max_size=60))
def test_no_text_whatever_brings_the_check_down(text: str) -> None:
    """It is asked about whatever a client sends."""
    assert is_token(text) in (True, False)
    assert is_token("rbk_" + text) in (True, False)


def test_what_is_stored_and_shown_of_a_token_does_not_give_it_away() -> None:
    """A hash, and four characters to tell two apart."""
    assert PUBLISHED.encode() not in token_hash(PUBLISHED)
    assert token_hint(PUBLISHED) == "rbk_…Qj2z"


@given(st.binary(min_size=24, max_size=64))
def test_a_signing_secret_is_read_back(key: bytes) -> None:
    """Text for people, bytes for HMAC."""
    assert signing_key(signing_secret_text(key)) == key


def test_a_new_signing_secret_is_one() -> None:
    """`whsec_` and 32 bytes."""
    assert new_signing_secret().startswith("whsec_")
    assert len(signing_key(new_signing_secret())) == 32


@pytest.mark.parametrize(
    "text", ["whsec_", "whsec_AAAA", "whsec_!!!!", "", "whsec_" + "A" * 400, "whsec_ä"]
)
def test_what_is_no_signing_secret_is_refused_without_showing_it(text: str) -> None:
    """An error ends up in a log."""
    with pytest.raises(ValueError, match=r"signing secret|ASCII") as refused:
        signing_key(text)

    assert len(text) < 8 or text not in str(refused.value)
