"""Which addresses may be called, which URLs and headers may be saved."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tokens.target_policy import (
    MAX_HEADERS,
    TargetPolicy,
    header_faults,
    parse_networks,
    target_in,
)

STRICT = TargetPolicy()
LOCAL = TargetPolicy(parse_networks(["127.0.0.0/8", "::1"]))

DENIED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:1ff:ffff::1",
    "2001:db8::1", "2002:7f00:1::", "3fff::1", "3fff:fff::1", "4000::1", "fc00::1", "fd00::1",
    "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.0.1",
    "223.255.255.255", "168.63.129.15", "2001:200::1", "2001:4860::8888", "2606:4700::1111",
    "2a00::1", "3ffe::1", "::ffff:8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", DENIED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    """The list is explicit: the library's own idea of "global" lets several of these pass."""
    refusal = STRICT.address_refusal(address)

    assert refusal is not None
    assert "RINGBACK_ALLOW_TARGETS" in refusal


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str) -> None:
    """Neighbours of the refused ranges among them."""
    assert STRICT.address_refusal(address) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_is_judged_alike(address: ipaddress.IPv4Address) -> None:
    """Dual-stack sockets would connect to it all the same."""
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")

    assert STRICT.address_refusal(mapped) == STRICT.address_refusal(address)
    assert LOCAL.address_refusal(mapped) == LOCAL.address_refusal(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.1", "::ffff:127.0.0.1", "::1"])
def test_what_the_operator_lists_may_be_called(address: str) -> None:
    """Only that may be called."""
    assert LOCAL.address_refusal(address) is None
    assert LOCAL.address_refusal("10.0.0.1")


@pytest.mark.parametrize("text", ["127.0.0.1/8", "localhost", "", "10.0.0.0/40"])
def test_a_wrong_network_is_named(text: str) -> None:
    """The start stops with a line that says which one."""
    with pytest.raises(ValueError, match="is not a network"):
        parse_networks([text])


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com", "https://example.com/hook?a=1&b=%20", "HTTPS://Example.COM:8443/x",
        "https://a_b.example.com.",
        "https://xn--bcher-kva.example/", "https://8.8.8.8/", "https://[2606:4700::1111]:443/x",
        "https://1password.com", "https://a.b1",
    ],
)  # fmt: skip
def test_a_good_url_is_accepted(url: str) -> None:
    """Without looking the name up: it is judged when it is connected to."""
    assert STRICT.url_fault(url) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "begin with https://"), ("ftp://example.com/", "begin with https://"),
        ("example.com", "begin with https://"),
        ("file:///etc/passwd", "begin with https://"), ("https:///x", "names no host"),
        ("https://", "names no host"),
        ("https://user:secret@example.com/", "credentials"),
        ("https://@example.com/", "credentials"),
        ("https://example.com/#part", "fragment"), ("https://example.com/#", "fragment"),
        ("https://example.com/a b", "white space"), (" https://example.com/", "white space"),
        ("https://example.com/\n", "white space"),
        ("https://example.com/\0", "control character"), ("https://example.com\t/", "white space"),
        ("https://bücher.example/", "xn--"),
        ("https://good.example\\@evil.example/", "percent-encoded"),
        ("https://example.com:0/", "port"), ("https://example.com:65536/", "cannot be read"),
        ("https://example.com:x/", "cannot be read"),
        ("https://exa%6dple.com/", "not a host name"), ("https://-a.example/", "not a host name"),
        ("https://a..b/", "not a host name"),
        (f"https://{'a' * 64}.example/", "not a host name"),
        (f"https://example.com/{'x' * 2048}", "longer"),
        ("https://256.1.1.1/", "neither an address nor a name"), ("https://1.2.3.4.5/", "neither"),
        ("https://0x/", "neither"),
        ("https://[fe80::1%25eth0]/", "zone"), ("https://[::1/", "cannot be read"),
        ("https://[nonsense]/", "cannot be read"),
        ("http://example.com/", "RINGBACK_ALLOW_HTTP"), ("http://8.8.8.8/", "RINGBACK_ALLOW_HTTP"),
    ],
)  # fmt: skip
def test_a_bad_url_is_refused_with_a_sentence(url: str, words: str) -> None:
    """Each says what is wrong, and what to do about it."""
    fault = STRICT.url_fault(url)

    assert fault is not None
    assert words in fault


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "0177.0.0.1",
     "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "localhost", "LOCALHOST."],
)  # fmt: skip
def test_a_private_host_is_refused_in_all_spellings_and_accepted_when_listed(host: str) -> None:
    """Listed loopback hosts need no TLS either: there is no network to listen on."""
    fault = STRICT.url_fault(f"https://{host}:9000/")

    assert fault is not None
    assert "RINGBACK_ALLOW_TARGETS" in fault
    assert LOCAL.url_fault(f"https://{host}:9000/") is None
    assert LOCAL.url_fault(f"http://{host}:9000/") is None


def test_http_needs_leave_of_its_own_for_other_private_hosts() -> None:
    """Only loopback is exempt: elsewhere the network could read along."""
    network = parse_networks(["10.0.0.0/8"])

    assert "RINGBACK_ALLOW_HTTP" in (TargetPolicy(network).url_fault("http://10.0.0.1/") or "")
    assert TargetPolicy(network, allow_http=True).url_fault("http://10.0.0.1/") is None
    assert TargetPolicy(allow_http=True).url_fault("http://example.com/") is None


@given(st.text(max_size=40).map(lambda text: f"https://{text}"))
def test_no_text_breaks_the_check_of_a_url(url: str) -> None:
    """It is typed by people."""
    fault = STRICT.url_fault(url)

    assert fault is None or fault


@pytest.mark.parametrize(
    ("target", "asked_for"),
    [("", "/"), ("/", "/"), ("?", "/?"), ("?a=b", "/?a=b"), ("/a/../b", "/a/../b"),
     ("/%7euser?x=%2f", "/%7euser?x=%2f"), ("//a//", "//a//"), ("/a?b?/../c", "/a?b?/../c")],
)  # fmt: skip
def test_what_is_asked_for_is_what_was_saved(target: str, asked_for: str) -> None:
    """Tidied up it would be another path, and the page would show one that was not called."""
    for host in (
        "https://h.example",
        "HTTPS://H.example:8443",
        "https://[2001:200::1]",
        "https://[2001:200::1]:8443",
    ):
        assert target_in(f"{host}{target}") == asked_for


@given(st.integers(0, 2**32 - 1))
def test_a_number_as_a_host_is_judged_like_the_address_that_it_spells(number: int) -> None:
    """`http://2130706433/` is a well-known way around filters."""
    address = ipaddress.IPv4Address(number)

    for spelling in (
        str(number),
        hex(number),
        f"0{number:o}",
        socket.inet_ntoa(number.to_bytes(4, "big")),
    ):
        assert STRICT.url_fault(f"https://{spelling}/") == STRICT.address_refusal(address)


def test_good_headers_have_no_faults() -> None:
    """What receivers ask for: keys, tenants, credentials."""
    assert header_faults({"Authorization": "Bearer abc/+=", "X-Tenant": "a b\tc", "x-1": "!"}) == []


@pytest.mark.parametrize(
    "name",
    ["webhook-id", "Webhook-Signature", "ringback-attempt", "Content-Type", "Content-Length",
     "HOST", "User-Agent", "Connection",
     "Transfer-Encoding", "Expect", "TE", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Authorization",
     "", "a b", "a:b", "ä", "a\r\nb"],
)  # fmt: skip
def test_a_name_that_is_ours_or_no_name_is_refused(name: str) -> None:
    """Otherwise a callback could forge a signature header, or smuggle a request."""
    (fault,) = header_faults({name: "x"})

    assert fault.pointer == f"/headers/{name}"


@pytest.mark.parametrize(
    "value", ["", " ", " x", "x ", "a\r\nb: c", "a\nb", "a\0b", "ä", "\x7f", "x" * 4097]
)
def test_a_value_that_is_not_visible_ascii_is_refused_and_not_repeated(value: str) -> None:
    """Header values are secrets: the fault names the header only."""
    (fault,) = header_faults({"X-Key": value})

    assert fault.pointer == "/headers/X-Key"
    assert not value.strip() or value not in fault.detail


def test_a_name_given_twice_is_refused() -> None:
    """Names do not differ by case, so receivers would see one header with two values."""
    assert [fault.pointer for fault in header_faults({"X-Key": "a", "x-key": "b"})] == [
        "/headers/x-key"
    ]


def test_too_many_headers_are_refused() -> None:
    """The limit itself is fine."""
    headers = {f"x-{number}": "x" for number in range(MAX_HEADERS)}

    assert header_faults(headers) == []
    assert [
        fault.pointer for fault in header_faults({**headers, "x-more": "x"}, "/callback/headers")
    ] == ["/callback/headers"]


def test_a_pointer_escapes_what_pointers_mean_otherwise() -> None:
    """RFC 6901: `~` and `/`."""
    assert header_faults({"a/b~c": "x"})[0].pointer == "/headers/a~1b~0c"
