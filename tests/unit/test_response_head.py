"""What is kept of a response's headers."""

import msgspec
import pytest

from dispatcher.http.response_head import HIDDEN, KEPT_CHARACTERS, kept_fields

OK = b"HTTP/1.1 200 OK\r\n"
END = b"\r\n"


def kept(*lines: bytes) -> dict[str, str]:
    return kept_fields([OK, *(line + b"\r\n" for line in lines), END])


def test_names_are_in_lower_case_and_values_as_they_came() -> None:
    """Names mean the same in any case (RFC 9110, section 5.1), so they are found in one."""
    assert kept(b"Server:  nginx/1.18 (x) ", b"X-Empty:", b"Retry-After: 7") == {
        "server": "nginx/1.18 (x)",
        "x-empty": "",
        "retry-after": "7",
    }


def test_values_of_one_name_are_joined_in_their_order() -> None:
    """A list in several lines is the same list in one (RFC 9110, section 5.3)."""
    assert kept(b"Via: 1.1 one", b"Server: x", b"via: 1.1 two") == {
        "via": "1.1 one, 1.1 two",
        "server": "x",
    }


@pytest.mark.parametrize(
    "name",
    ["Set-Cookie", "set-cookie2", "Authorization", "X-Auth-Token", "X-API-Key", "X-CSRF", "ApiKey",
     "X-Amz-Security-Token", "Proxy-Authorization", "X-Session-Id", "Authentication-Info"],
)  # fmt: skip
def test_a_value_that_lets_its_holder_in_is_hidden(name: str) -> None:
    """Everyone who may read deliveries sees the record; that the receiver sent it is enough."""
    assert kept(f"{name}: s3cret".encode()) == {name.lower(): HIDDEN}


def test_each_hidden_value_is_still_counted() -> None:
    """Two cookies are two."""
    assert kept(b"Set-Cookie: a=1", b"Set-Cookie: b=2") == {"set-cookie": f"{HIDDEN}, {HIDDEN}"}


@pytest.mark.parametrize("name", ["WWW-Authenticate", "CF-Ray", "X-Request-Id", "Location"])
def test_what_explains_a_failure_is_shown(name: str) -> None:
    """These are what people look for."""
    assert kept(f"{name}: abc".encode()) == {name.lower(): "abc"}


def test_only_the_final_response_counts() -> None:
    """Interim responses come before it, trailers after it."""
    lines = [
        b"HTTP/1.1 103 Early Hints\r\n", b"Link: </x>\r\n", END,
        OK, b"Server: x\r\n", END, b"Retry-After: 7\r\n", END,
    ]  # fmt: skip

    assert kept_fields(lines) == {"server": "x"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff\xfe", r"\xff\xfe"),
        ("Müller".encode(), "Müller"),
        (b"a\0b", "a\0b"),
        (b'"quoted" \\', '"quoted" \\'),
    ],
)
def test_any_bytes_can_be_stored(raw: bytes, text: str) -> None:
    """A receiver may send what it likes: its record must be JSON all the same."""
    found = kept(b"X-Odd: " + raw)

    assert found == {"x-odd": text}
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
    assert b"\0" not in msgspec.json.encode(found)


def test_headers_are_kept_up_to_a_limit() -> None:
    """An attempt is stored for a month: what is cut off is not worth the space."""
    found = kept(b"A: 1", b"Long: " + b"x" * 100_000, b"Z: 1")

    assert list(found) == ["a", "long"]
    assert sum(len(name) + len(value) for name, value in found.items()) == KEPT_CHARACTERS


def test_many_small_headers_are_kept_up_to_the_same_limit() -> None:
    """However they are spread."""
    found = kept(*(f"x-{number}: {'y' * 20}".encode() for number in range(1000)))

    assert 50 < len(found) < 100
    assert sum(len(name) + len(value) for name, value in found.items()) <= KEPT_CHARACTERS


def test_only_the_first_lines_are_read() -> None:
    """One receiver that sends thousands of them must not keep all others waiting."""
    lines = [b"x-%d:" % number for number in range(20_000)]

    assert len(kept(*lines)) <= 100
    assert "x-0" in kept(*lines)


def test_the_first_lines_are_those_of_the_final_response() -> None:
    early = [b"HTTP/1.1 103 Early Hints\r\n", *(b"Link: <%d>\r\n" % n for n in range(500)), END]

    assert kept_fields([*early, OK, b"Server: x\r\n", END]) == {"server": "x"}
