"""Links to a supplier's page: what they say, and when they are good. Pure."""

import datetime as dt
from dataclasses import replace

import pytest
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given
from hypothesis import strategies as st

from dashboard.http.supplier_links import link_in, signed
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.supplier_links import SupplierLink, WhyNot, link_to, why_not
from schemas.tokens.tokens import DatedSecret, Token
from tests.kit.tokens import a_token

NOW, LIFE = UnixMs(1_000_000), dt.timedelta(seconds=100)
KEYS = (b"older", b"newer")


@given(st.text(), st.integers(0, 2**53), st.text())
def test_a_link_is_read_as_it_was_signed(token_id: str, until: int, mark: str) -> None:
    """By the newest key and by an older one."""
    link = SupplierLink(TokenId(token_id), UnixMs(until), mark)

    assert link_in(signed(link, KEYS), KEYS) == link
    assert link_in(signed(link, KEYS[:1]), KEYS) == link
    assert link_in(signed(link, KEYS), KEYS[:1]) is None


@given(st.text())
def test_no_other_text_is_a_link(text: str) -> None:
    """Whatever someone types."""
    assert link_in(text, KEYS) is None


def test_what_the_same_keys_sign_for_pages_is_no_link() -> None:
    """A cookie of a page cannot be passed off as a link."""

    class App:
        secret_key, config = KEYS[1], {"SECRET_KEY_FALLBACKS": []}

    serializer = SecureCookieSessionInterface().get_signing_serializer(App())  # type: ignore[arg-type]  # all that it reads
    assert serializer is not None

    assert link_in(str(serializer.dumps(["tok_1", 1, "x"])), KEYS) is None


@pytest.mark.parametrize(
    ("changes", "at", "why"),
    [
        ({}, NOW, None),
        ({"activates_at": NOW + 5}, NOW, None),
        (
            {"hashes": (DatedSecret(b"old", UnixMs(NOW * 2)), DatedSecret(b"new"))},
            NOW,
            WhyNot.ENDED,
        ),
        ({"links_ended": 1}, NOW, WhyNot.ENDED),
        ({"enabled": False}, NOW, WhyNot.SUSPENDED),
        ({"revoked_at": NOW}, NOW, WhyNot.CLOSED),
        ({"expires_at": NOW}, NOW, WhyNot.CLOSED),
        ({}, NOW + 99_999, None),
        ({}, NOW + 100_000, WhyNot.OVER),
        ({"name": "renamed", "last_used_at": NOW}, NOW, None),
    ],
)
def test_a_link_is_good_until_something_ends_it(
    changes: dict[str, object], at: int, why: WhyNot | None
) -> None:
    """Judged by the token as it is now."""
    token = a_token(1)
    link = link_to(token, LIFE, NOW)

    changed: Token = replace(token, **changes)  # type: ignore[arg-type]  # of several types

    assert why_not(link, changed, UnixMs(at)) is why


def test_a_link_ends_with_its_token() -> None:
    """Longer would promise what it does not keep."""
    token = a_token(1, expires_at=NOW + 7)

    assert link_to(token, LIFE, NOW).until == NOW + 7
    assert link_to(a_token(1), LIFE, NOW).until == NOW + 100_000
