"""Settings that say where something is: what no listener and no client could use is refused at the
start, by its own name.
"""

import pytest

from ringback.mail_server import mail_server, read_mail_from
from ringback.settings import load
from schemas.errors import UsageError
from tests.kit.environment import given_environment

pytestmark = pytest.mark.usefixtures("bare_place")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "LISTEN",
            "host name:80",
            "the host is an address, or a name of letters, digits, - and dots",
        ),
        ("LISTEN", "*:8080", "for every interface omit the host: :8080"),
        ("LISTEN", "-1:80", "the host is an address, or a name"),
        ("LISTEN", "a]b:80", "the host is an address, or a name"),
        ("LISTEN", "[]:80", "the host is an address, or a name"),
        ("LISTEN", "[1.2.3.4]:80", "the host is an address, or a name"),
        ("LISTEN", "[::1::2]:80", "an IPv6 address is written in brackets"),
        ("LISTEN", "a..b:80", "the host is an address, or a name"),
        ("METRICS_LISTEN", "é:80", "the host is an address, or a name"),
        ("PUBLIC_URL", "https://h:99999", "a URL such as https://"),
        ("PUBLIC_URL", "https://h:65536", "a URL such as https://"),
        ("PUBLIC_URL", "https://h/?k=hidden", "without user and password, ? and #"),
        ("PUBLIC_URL", "https://h/#hidden", "without user and password, ? and #"),
        ("PUBLIC_URL", "https://h i/", "a URL such as https://"),
        ("PUBLIC_URL", "https:///path", "a URL such as https://"),
        ("PUBLIC_URL", "https://[::1", "a URL such as https://"),
        ("PLATFORM_DOCS_URL", "https://h:hidden/", "a URL such as https://"),
        ("PLATFORM_DOCS_URL", "javascript://h/hidden", "a URL such as https://"),
    ],
)
def test_an_impossible_path_is_refused_by_its_name(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong LISTEN blamed PUBLIC_URL, or failed when it was listened on."""
    given_environment(monkeypatch, **{name: value})

    with pytest.raises(UsageError) as caught:
        load()

    assert str(caught.value).startswith(f"RINGBACK_{name}: ")
    assert said in str(caught.value)
    assert str(caught.value).count("RINGBACK_") == 1
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("PUBLIC_URL", "HTTPS://Ringback.example.com/api\n", "https://Ringback.example.com/api"),
        ("PUBLIC_URL", "http://[::1]:8080", "http://[::1]:8080"),
        (
            "PLATFORM_DOCS_URL",
            "https://chat.example.com:8443/docs?v=2#start",
            "https://chat.example.com:8443/docs?v=2#start",
        ),
        ("LISTEN", "[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("LISTEN", "my_host-1.example.:80", "my_host-1.example.:80"),
    ],
)
def test_what_means_the_same_is_taken(
    name: str, written: str, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheme in capitals, a line's end, an anchor of a page."""
    given_environment(monkeypatch, **{name: written})

    assert load().shown()[f"RINGBACK_{name}"] == read


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://mail.example", "mail.example:587"),
        ("smtps://user:p%40ss@mail.example", "mail.example:465"),
        ("smtp://127.0.0.1:2525/", "127.0.0.1:2525"),
    ],
)
def test_a_mail_server_is_read_from_its_url(url: str, shown: str) -> None:
    server = mail_server(url)

    assert f"{server.host}:{server.port}" == shown
    assert server.password in {None, "p@ss"}
    assert "p@ss" not in repr(server)


@pytest.mark.parametrize(
    "url", ["mail.example", "http://mail.example", "smtp://", "smtp://x/path", "smtp://x:99999"]
)
def test_what_is_no_mail_server_is_refused_without_repeating_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match="smtp://USER:PASSWORD") as refused:
        mail_server(url)

    assert "mail.example" not in str(refused.value)
    assert "99999" not in str(refused.value)


@pytest.mark.parametrize("sender", ["ringback", "a@b\nBcc: c@d", "Ringbäck <a@b.example>"])
def test_a_sender_of_mail_is_an_address(sender: str) -> None:
    with pytest.raises(ValueError, match="an address such as"):
        read_mail_from(sender)
