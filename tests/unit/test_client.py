"""Who called: the peer, or whom trusted proxies speak for."""

import pytest

from schemas.tokens.target_policy import parse_networks
from web.client_address import client_address, is_from_proxy

TRUSTED = parse_networks(["10.0.0.0/8", "::1/128"])


def address(peer: str, *, forwarded_for: str | None = None, forwarded: str | None = None) -> str:
    said = {"HTTP_X_FORWARDED_FOR": forwarded_for, "HTTP_FORWARDED": forwarded}
    return client_address(
        {"REMOTE_ADDR": peer} | {name: value for name, value in said.items() if value is not None},
        TRUSTED,
    )


def test_the_peer_that_connects_is_the_caller() -> None:
    """What a stranger says of himself is not believed."""
    assert (
        address("192.0.2.9", forwarded_for="198.51.100.1", forwarded="for=198.51.100.1")
        == "192.0.2.9"
    )


def test_without_trusted_proxies_no_header_is_believed() -> None:
    """The default: a header anybody can send must not choose the address in the logs."""
    assert (
        client_address({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.1"}, ())
        == "10.0.0.1"
    )


@pytest.mark.parametrize(
    ("said", "caller"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("203.0.113.7, 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("10.9.9.9", "10.9.9.9"),
        ("unknown, 10.2.3.4", "10.2.3.4"),
        ("nonsense", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_who_called(said: str, caller: str) -> None:
    """The last that is no proxy of ours: what stands before it the caller may have written."""
    assert address("10.0.0.1", forwarded_for=said) == caller


@pytest.mark.parametrize(
    ("said", "caller"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ('proto=https;For="[2001:db8::7]:4711";by=10.0.0.1', "2001:db8::7"),
        ("for=203.0.113.7, for=198.51.100.1;proto=http, for=10.1.1.1", "198.51.100.1"),
        ("for=_hidden", "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_too(said: str, caller: str) -> None:
    """RFC 7239."""
    assert address("10.0.0.1", forwarded=said) == caller


def test_of_both_headers_the_one_that_proxies_set_counts() -> None:
    """Most know only X-Forwarded-For, and let a caller's Forwarded pass."""
    assert (
        address("10.0.0.1", forwarded_for="198.51.100.1", forwarded="for=203.0.113.7")
        == "198.51.100.1"
    )


def test_a_peer_without_an_address_has_no_client_address() -> None:
    """A Unix socket."""
    assert address("", forwarded_for="198.51.100.1") == ""


def test_who_may_speak_for_others() -> None:
    """Only then a gateway's headers about the request are believed."""
    assert is_from_proxy({"REMOTE_ADDR": "10.0.0.1"}, TRUSTED)
    assert is_from_proxy({"REMOTE_ADDR": "::1"}, TRUSTED)
    assert not is_from_proxy({"REMOTE_ADDR": "192.0.2.1"}, TRUSTED)
    assert not is_from_proxy({}, TRUSTED)
