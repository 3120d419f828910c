"""From where a form may come."""

import pytest

from dashboard.http.origin import is_from_here

HTTPS = "https://hooks.example"


@pytest.mark.parametrize(
    ("public_url", "host", "origin", "is_ours"),
    [
        (HTTPS, "hooks.example", "https://hooks.example", True),
        (HTTPS, "ringback:8080", "https://hooks.example", True),
        (HTTPS + ":443/", "ringback:8080", "https://hooks.example", True),
        ("https://Hooks.Example", "ringback:8080", "https://hooks.example", True),
        (HTTPS, "other.example", "https://other.example", True),
        (HTTPS, "hooks.example", "http://hooks.example", False),
        (HTTPS, "localhost:8080", "http://localhost:8080", True),
        (HTTPS, "hooks.example:8443", "https://hooks.example", True),
        (HTTPS, "hooks.example", "https://hooks.example:8443", False),
        (HTTPS, "hooks.example", "https://evil.example", False),
        (HTTPS, "hooks.example", "https://hooks.example.evil.example", False),
        (HTTPS, "hooks.example", "https://evil.example/hooks.example", False),
        (HTTPS, "hooks.example", "https://hooks.example@evil.example", False),
        (HTTPS, "hooks.example", "null", False),
        (HTTPS, "hooks.example", "", False),
        (HTTPS, "hooks.example", "file://", False),
        (HTTPS, "hooks.example", "ftp://hooks.example", False),
        (HTTPS, "hooks.example", "https://hooks.example:port", False),
        (HTTPS, "hooks.example", "https://[::1", False),
        (HTTPS, "[::1", "https://hooks.example", False),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "10.0.0.5:8080", "http://10.0.0.5:8080", True),
        ("http://127.0.0.1:8080", "10.0.0.5", "https://10.0.0.5", True),
        ("http://127.0.0.1:8080", "", "http://evil.example", False),
    ],
)
def test_a_form_comes_from_the_address_that_was_asked_or_the_public_one(
    public_url: str, host: str, origin: str, is_ours: bool
) -> None:
    """Whatever a proxy does to `Host`; by https only from https."""
    environ = {"HTTP_HOST": host, "HTTP_ORIGIN": origin}

    assert is_from_here(environ, public_url) is is_ours


@pytest.mark.parametrize(
    ("site", "origin", "is_ours"),
    [
        ("same-origin", None, True),
        ("same-origin", HTTPS, True),
        ("same-origin", "https://evil.example", False),
        ("same-site", HTTPS, False),
        ("cross-site", HTTPS, False),
        ("none", HTTPS, False),
        ("Same-Origin", HTTPS, False),
        ("", HTTPS, False),
        (None, None, False),
    ],
)
def test_what_the_browser_says_of_the_site_must_agree(
    site: str | None, origin: str | None, is_ours: bool
) -> None:
    """One sign against it is enough."""
    given = {"HTTP_HOST": "hooks.example", "HTTP_SEC_FETCH_SITE": site, "HTTP_ORIGIN": origin}
    environ = {name: value for name, value in given.items() if value is not None}

    assert is_from_here(environ, HTTPS) is is_ours
