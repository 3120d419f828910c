"""Providers that are away, answer nonsense, or change their keys."""

from typing import Any

import pytest

from dashboard.oidc import fetching
from dashboard.oidc import provider as provider_module
from schemas.people import Role
from tests.kit.oidc import Provider, public_jwk
from tests.kit.openid import START, is_in, require_refusal, returned, signed_in
from tests.kit.pages import Site

DESCRIPTION = "/.well-known/openid-configuration"


@pytest.mark.parametrize("path", [DESCRIPTION, "/token", "/keys"])
@pytest.mark.parametrize(
    "answer",
    [
        lambda: (500, b"{}"),
        lambda: (200, b"<html>"),
        lambda: (200, b"[]"),
        lambda: (302, b"{}"),
        lambda: (200, b"[" * 200_000),
        lambda: (200, b'"' + b"x" * fetching.MAX_BYTES),
        lambda: (200, b"\xff"),
    ],
)
def test_a_provider_that_answers_nonsense_is_unavailable(
    openid: Site, provider: Provider, path: str, answer: Any
) -> None:
    """At each step."""
    provider.instead[path] = answer
    browser = openid.browser()

    response = browser.open(START)
    if path != DESCRIPTION:
        response = returned(browser, provider.visit(response.location))

    require_refusal(openid, response, "provider_unavailable", "does not answer as it should")
    assert not is_in(browser)


def test_a_description_without_end_is_not_read_to_its_end(openid: Site, provider: Provider) -> None:
    """However right it is."""
    provider.described = {"padding": "x" * fetching.MAX_BYTES}

    assert openid.browser().open(START).status_code == 503


def test_a_redirect_of_the_description_is_not_followed(openid: Site, provider: Provider) -> None:
    """Where it leads is not what was set, and the client secret would go there."""
    provider.instead[DESCRIPTION] = lambda: (302, b"{}")

    assert openid.browser().open(START).status_code == 503
    assert provider.asked == [DESCRIPTION]


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://accounts.example.com"},
        {"token_endpoint": "http://login.example.com/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
        {"userinfo_endpoint": "https://[::1"},
        {"token_endpoint": None},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
    ],
)
def test_a_description_that_cannot_be_trusted_is_not(
    openid: Site, provider: Provider, described: dict[str, Any]
) -> None:
    """Above all another provider's: it would sign for everyone."""
    provider.described = described

    require_refusal(
        openid,
        openid.browser().open(START),
        "provider_unavailable",
        "does not answer as it should",
    )


def test_a_provider_that_is_away_is_said_to_be(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is asked again once it is back; not by every person at once."""
    provider.instead[DESCRIPTION] = lambda: (503, b"{}")
    browser = openid.browser()
    for _ in range(3):
        assert browser.open(START).status_code == 503
    assert provider.asked == [DESCRIPTION]

    provider.instead.clear()
    monkeypatch.setattr(provider_module, "PAUSE_S", 0)

    assert signed_in(browser, provider).status_code == 303


def test_a_provider_that_refuses_connections_is_said_to_be_away(site: Site) -> None:
    """Its name is said, and passwords still work."""
    with Provider() as gone:
        site.use(openid=gone.client())

    response = site.browser().open(START)

    require_refusal(site, response, "provider_unavailable", "127.0.0.1")
    assert is_in(site.browser(Role.VIEWER))


def test_a_provider_that_drips_is_cut_off(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, all of them would take for ever."""
    monkeypatch.setattr(fetching, "TOTAL_TIMEOUT_S", -1.0)

    require_refusal(
        openid,
        openid.browser().open(START),
        "provider_unavailable",
        "does not answer as it should",
    )


def test_description_and_keys_are_read_once(openid: Site, provider: Provider) -> None:
    """Not for each person."""
    for _ in range(3):
        assert signed_in(openid.browser(), provider).status_code == 303

    assert provider.asked.count(DESCRIPTION) == provider.asked.count("/keys") == 1


def test_a_known_provider_may_be_away_for_its_description(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before is better than no one signing in."""
    assert signed_in(openid.browser(), provider).status_code == 303
    provider.instead |= {path: lambda: (500, b"") for path in (DESCRIPTION, "/keys")}
    monkeypatch.setattr(provider_module, "KEPT_S", 0)

    assert signed_in(openid.browser(), provider).status_code == 303


def test_new_keys_of_the_provider_are_found(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes them without a word."""
    monkeypatch.setattr(provider_module, "PAUSE_S", 0)
    assert signed_in(openid.browser(), provider).status_code == 303
    provider.keys = [public_jwk("RS256", "key-2", 2)]
    provider.sign = lambda claims: provider.signed(claims, "key-2", 2)

    assert signed_in(openid.browser(), provider).status_code == 303
