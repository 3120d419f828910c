"""Request bodies through the real server: they arrive whole or are refused, and the answer to a
refused one arrives too.
"""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.front import ApiFront
from api.http.bodies import MAX_BODY_BYTES
from schemas.events.samples import sample_body
from schemas.events.types import EventType
from schemas.tokens.permissions import Permission
from tests.kit.api import House
from tests.kit.waiting import free_port, wait_for
from web.server.server import HttpServer
from web.server.sockets import listen

EVENT = sample_body(EventType.MESSAGE_RECEIVED)
PIECE = 16 * 1024


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def port(house: House) -> Iterator[int]:
    at = free_port()
    server = HttpServer(ApiFront(house.app, house.parts))
    house.loop.call(server.start(listen("127.0.0.1", at, "RINGBACK_LISTEN")))
    yield at
    house.loop.call(server.stop())


def post(port: int, secret: str, head: str, pieces: list[bytes]) -> bytes:
    """What comes back, headers and all. A broken pipe is an error: the answer has to arrive."""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        start = (
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: "
            f"application/json\r\nAuthorization: Bearer {secret}\r\n"
        )
        connection.sendall((start + head + "\r\n\r\n").encode())
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while got := connection.recv(65536):
            answer += got
        return answer


def chunked(body: bytes) -> list[bytes]:
    parts = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
    return [*(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts), b"0\r\n\r\n"]


def padded(size: int) -> bytes:
    """A valid event of `size` bytes: white space may follow it."""
    return EVENT + b" " * (size - len(EVENT))


def test_a_chunked_body_is_read_whole_up_to_the_limit(house: House, port: int) -> None:
    """Its last byte counts: cut off, it would be another event, or none."""
    answer = post(
        port,
        house.secret(Permission.EVENTS_PUBLISH),
        "Transfer-Encoding: chunked",
        chunked(padded(MAX_BODY_BYTES)),
    )

    assert answer.startswith(b"HTTP/1.1 202"), answer[:300]


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 4 * 1024 * 1024])
def test_a_chunked_body_over_the_limit_is_refused_and_not_cut_off(
    house: House, port: int, size: int
) -> None:
    """Cut off at the limit, the white space at its end would be gone and the rest a fine event."""
    answer = post(
        port,
        house.secret(Permission.EVENTS_PUBLISH),
        "Transfer-Encoding: chunked",
        chunked(padded(size)),
    )

    assert answer.startswith(b"HTTP/1.1 413"), answer[:300]
    assert b"application/problem+json" in answer


def test_the_answer_to_a_great_body_arrives(house: House, port: int) -> None:
    """A client that is still sending when it is refused must not see a broken pipe instead of the
    reason.
    """
    body = padded(8 * 1024 * 1024)

    answer = post(
        port, house.secret(Permission.EVENTS_PUBLISH), f"Content-Length: {len(body)}", [body]
    )

    assert answer.startswith(b"HTTP/1.1 413"), answer[:300]


def test_the_answer_to_an_unexpected_body_arrives(house: House, port: int) -> None:
    """The token is wrong: the body is not even looked at, but it is read."""
    body = padded(2 * 1024 * 1024)

    answer = post(port, "rbk_wrong", f"Content-Length: {len(body)}", [body])

    assert answer.startswith(b"HTTP/1.1 401"), answer[:300]


def test_a_body_without_a_length_is_no_body(house: House, port: int) -> None:
    """RFC 9112, section 6.3: it is not waited for."""
    answer = post(port, house.secret(Permission.EVENTS_PUBLISH), "X-Nothing: 1", [])

    assert answer.startswith(b"HTTP/1.1 400"), answer[:300]


def test_a_download_that_no_one_reads_is_closed(
    house: House, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file would take space until the process ends: HEAD wants none of it."""
    (folder := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    secret = house.secret(Permission.PLATFORM_ADMIN)

    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        head = f"HEAD /v1/tokens.xlsx HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")

    wait_for("no file is left", lambda: not list(folder.iterdir()))
