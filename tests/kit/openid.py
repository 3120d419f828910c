"""Signing in to the pages at the provider of `tests.kit.oidc`."""

from urllib.parse import urlsplit

from werkzeug.test import TestResponse

from tests.kit.oidc import CLIENT_SECRET, Provider
from tests.kit.pages import Browser, Site

ADMIN = "admin@example.com"
START = "/sign-in/openid"


def begun(browser: Browser, to: str = "/") -> str:
    """The address at the provider to which a browser is sent."""
    response = browser.open(START, query_string={"next": to})
    assert response.status_code == 303, response.text
    return response.location


def returned(browser: Browser, back: str) -> TestResponse:
    """The answer to a browser that comes back."""
    url = urlsplit(back)
    return browser.open(url.path, query_string=url.query)


def signed_in(browser: Browser, provider: Provider, to: str = "/") -> TestResponse:
    return returned(browser, provider.visit(begun(browser, to)))


def is_in(browser: Browser) -> bool:
    return browser.open("/account").status_code == 200


def require_refusal(site: Site, response: TestResponse, kind: str, said: str) -> None:
    """It is said on the page for signing in, and noted in the log."""
    assert response.status_code == (503 if kind == "provider_unavailable" else 403), response.text
    assert said in response.text
    assert 'action="/sign-in"' in response.text
    assert "aria-invalid" not in response.text, "what was typed here is not wrong"
    assert [fields["reason"] for event, fields in site.observer.notes] == [kind]
    assert CLIENT_SECRET not in str(site.observer.notes)
