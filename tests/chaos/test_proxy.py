"""The fault proxy by itself: a scenario is worth as much as the fault that it believes in."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import FaultProxy, Way
from tests.kit.waiting import wait_for

LIMIT_S = 10
MOMENT_S = 0.3


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it hears: its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening,), daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: int) -> Iterator[FaultProxy]:
    with FaultProxy(echo) as made:
        yield made


def _serve(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_say_back, args=(connection,), daemon=True).start()


def _say_back(connection: socket.socket) -> None:
    with connection:
        try:
            while heard := connection.recv(65_536):
                connection.sendall(heard)
        except OSError:
            return


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S)


def said_back(connection: socket.socket, said: bytes = b"hello") -> bytes:
    connection.sendall(said)
    heard = b""
    while len(heard) < len(said) and (piece := connection.recv(65_536)):
        heard += piece
    return heard


def is_silent(connection: socket.socket) -> bool:
    """Nothing comes within a moment, and the connection does not end."""
    connection.settimeout(MOMENT_S)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(LIMIT_S)
    return False


def test_everything_passes_until_it_is_configured_otherwise(proxy: FaultProxy) -> None:
    """A proxy that changes anything by being there would be a fault that no scenario asked for."""
    large = bytes(range(256)) * 8192

    with connect(proxy) as connection:
        connection.settimeout(LIMIT_S)
        sender = threading.Thread(target=connection.sendall, args=(large,))
        sender.start()
        heard = b""
        while len(heard) < len(large):
            heard += connection.recv(65_536)
        sender.join()

    assert heard == large
    wait_for("the goodbye to be passed on", lambda: proxy.connections == 0)


def test_a_delay_makes_late_but_not_slow(proxy: FaultProxy) -> None:
    """Many pieces in flight arrive together, late: latency, not bandwidth."""
    with connect(proxy) as connection:
        said_back(connection)
        proxy.delay(MOMENT_S, Way.TO_CLIENT)

        began_s = time.monotonic()
        for _ in range(20):
            connection.sendall(b"x")
            time.sleep(0.002)
        heard = 0
        while heard < 20:
            heard += len(connection.recv(20))
        took_s = time.monotonic() - began_s

    assert MOMENT_S <= took_s < 20 * MOMENT_S / 2


def test_a_throttle_lets_so_many_bytes_a_second_pass(proxy: FaultProxy) -> None:
    """The line that is not broken, only thin."""
    with connect(proxy) as connection:
        proxy.throttle(100_000)

        began_s = time.monotonic()
        said_back(connection, b"x" * 20_000)

        assert time.monotonic() - began_s >= 0.2


def test_silence_keeps_connections_open_and_passes_nothing(proxy: FaultProxy) -> None:
    """Only a limit of one's own notices; afterwards what was said arrives."""
    with connect(proxy) as old:
        said_back(old)
        proxy.silence()

        old.sendall(b"hello?")
        assert is_silent(old)
        with connect(proxy) as new:
            new.sendall(b"anybody?")
            assert is_silent(new)
            proxy.heal()

            assert old.recv(20) == b"hello?"
            assert new.recv(20) == b"anybody?"


def test_stranded_connections_stay_silent_while_new_ones_are_well(proxy: FaultProxy) -> None:
    """Half-open: healing does not bring them back, only connecting again does."""
    with connect(proxy) as old:
        said_back(old)
        proxy.strand()

        old.sendall(b"hello?")
        with connect(proxy) as new:
            assert said_back(new) == b"hello"
        assert is_silent(old)
        proxy.heal()
        assert is_silent(old)


def test_a_cut_resets_what_is_open_and_only_that(proxy: FaultProxy) -> None:
    """A service that crashes and is there again looks like this."""
    with connect(proxy) as connection:
        said_back(connection)

        proxy.cut()

        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connect(proxy) as connection:
        assert said_back(connection) == b"hello"


def test_refusing_ends_what_is_open_and_takes_no_connection_until_it_heals(
    proxy: FaultProxy,
) -> None:
    """A stopped service looks like this. It comes back at the same address."""
    with connect(proxy) as connection:
        said_back(connection)

        proxy.refuse()

        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as connection:
        assert said_back(connection) == b"hello"


def test_a_service_that_is_not_there_looks_the_same_through_the_proxy() -> None:
    """A client must not be kept waiting by the proxy when there is no service behind it."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed_port = int(gone.getsockname()[1])
    with (
        FaultProxy(closed_port) as proxy,
        pytest.raises(ConnectionResetError),
        connect(proxy) as connection,
    ):
        connection.recv(1)


def test_an_ear_hears_both_directions(echo: int) -> None:
    """What passes can be judged without being disturbed."""
    heard: list[tuple[int, Way, bytes]] = []
    with (
        FaultProxy(echo, ear=lambda *said: heard.append(said)) as proxy,
        connect(proxy) as connection,
    ):
        said_back(connection)

    assert heard == [(1, Way.TO_SERVER, b"hello"), (1, Way.TO_CLIENT, b"hello")]
