"""The server of the embedded process: whole answers, few system calls, bounded connections."""

import http.client
import socket
from collections.abc import Callable, Iterable, Iterator

import pytest

from ringback.processes import web
from ringback.processes.web import WebServer
from ringback.setting_values import ListenAddress
from tests.kit.waiting import free_port, wait_for

PIECE = b"x" * 50_000
PIECES = 40


def application(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/small":
        start_response("200 OK", [("Content-Length", "5")])
        return [b"small"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (PIECE for _ in range(PIECES))


@pytest.fixture
def address() -> Iterator[ListenAddress]:
    made = ListenAddress("127.0.0.1", free_port())
    server = WebServer(application, made, threads=2)
    server.start()
    yield made
    server.stop()


def ask(
    address: ListenAddress, path: str
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", path)
    return connection, connection.getresponse()


def test_a_small_answer_comes_in_one_piece(address: ListenAddress) -> None:
    """A second write would wait for the interpreter among all other threads, once more for every
    request.
    """
    with socket.create_connection(address, timeout=10) as connection:
        for _ in range(20):
            connection.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).endswith(b"\r\n\r\nsmall")


def test_a_long_answer_comes_whole(address: ListenAddress) -> None:
    """It is sent while it is made: no process keeps a download in memory."""
    connection, response = ask(address, "/long")

    assert response.read() == PIECE * PIECES
    connection.close()


def test_connections_beyond_the_limit_are_closed_after_their_answer(
    address: ListenAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that only hold connections must not use up the descriptors; those that left do not
    count.
    """
    monkeypatch.setattr(web, "_KEPT_CONNECTIONS", 1)
    first, kept = ask(address, "/small")
    second, refused = ask(address, "/small")

    assert (kept.headers["connection"], refused.headers["connection"]) == (None, "close")

    for connection, response in ((first, kept), (second, refused)):
        response.read()
        connection.close()

    def is_kept() -> bool:
        connection, response = ask(address, "/small")
        response.read()
        connection.close()
        return response.headers["connection"] is None

    wait_for("room again", is_kept)
