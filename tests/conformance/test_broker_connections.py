"""How connections to a broker fail, in words, and how TLS is checked: pika's and kombu's alike."""

import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from exchange.rabbit import admin as rabbit_admin
from exchange.rabbit.connection import addresses, declared_channel, open_connection
from exchange.rabbit.reasons import reason
from schemas.errors import ExchangeUnavailable
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import free_port

Failing = Callable[[str], Awaitable[str]]


async def by_pika(url: str) -> str:
    """The words of a connection that publishes or consumes."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it becomes words
        async with open_connection(addresses(url, "test")[0]) as connection:
            await declared_channel(connection)
    return reason(caught.value)


async def by_kombu(url: str) -> str:
    """The words of `migrate`, `doctor` and `dead`."""
    with pytest.raises(ExchangeUnavailable) as caught:
        rabbit_admin.declare(url)
    return str(caught.value)


@pytest.fixture(params=[by_pika, by_kombu])
def failing(request: pytest.FixtureRequest) -> Failing:
    """How both ways to a broker say that it cannot be used."""
    found: Failing = request.param
    return found


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which each connection is given to `answer`, and closed."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # closed
                return
            with connection:
                connection.settimeout(5)
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


@contextmanager
def tls_listening(certificate: trustme.LeafCert, names: list[str | None]) -> Iterator[int]:
    """A TLS port with nothing behind it; the names that clients ask for are put down in `names`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def shake(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True):
                return
        except OSError:  # refused by the client: that is what is tested
            return

    with listening(shake) as port:
        yield port


async def test_a_certificate_for_another_name_is_refused(failing: Failing, tmp_path: Path) -> None:
    """Half of the connections took it: an attacker in between could read every event."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    with tls_listening(authority.issue_cert("broker.example.com"), []) as port:
        words = await failing(f"amqps://user:word@localhost:{port}/?cacertfile={tmp_path}/ca.pem")

    assert "the broker's certificate is not accepted" in words
    assert "word" not in words.replace("password", "")


async def test_a_certificate_of_an_unknown_authority_is_refused(failing: Failing) -> None:
    """Otherwise anyone could make one."""
    with tls_listening(trustme.CA().issue_cert("localhost"), []) as port:
        words = await failing(f"amqps://user:word@localhost:{port}/")

    assert "the broker's certificate is not accepted" in words


async def test_the_name_is_asked_for_and_a_fitting_certificate_taken(
    failing: Failing, tmp_path: Path
) -> None:
    """A proxy in front of several brokers uses it."""
    authority, names = trustme.CA(), list[str | None]()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    with tls_listening(authority.issue_cert("localhost"), names) as port:
        words = await failing(f"amqps://user:word@localhost:{port}/?cacertfile={tmp_path}/ca.pem")

    assert set(names) == {"localhost"}
    assert "certificate" not in words


async def test_a_port_without_tls_is_said_to_be_one(failing: Failing, rabbit: Rabbit) -> None:
    """The two ports of a broker are easily mixed up."""
    words = await failing(f"amqps://guest:guest@127.0.0.1:{rabbit.port}/")

    assert "TLS cannot be agreed with the broker" in words


async def test_a_closed_port_is_reported(failing: Failing) -> None:
    """pika's own words are `AMQPConnectionWorkflowFailed`."""
    words = await failing(f"amqp://guest:guest@127.0.0.1:{free_port()}/")

    assert "nothing listens there: start the broker, or check host and port" in words
    assert "Workflow" not in words


async def test_a_host_that_is_not_found_is_said_so(failing: Failing) -> None:
    """`.invalid` belongs to no one (RFC 6761)."""
    assert "host name cannot be found" in await failing("amqp://guest:guest@broker.invalid:5672/")


async def test_a_wrong_password_is_said_so(failing: Failing, rabbit: Rabbit) -> None:
    """The likeliest slip of all."""
    words = await failing(f"amqp://guest:word@127.0.0.1:{rabbit.port}/")

    assert "the broker refuses the log-in: check user and password in RINGBACK_BROKER_URL" in words


async def test_a_vhost_that_is_not_there_is_said_so(failing: Failing, rabbit: Rabbit) -> None:
    """The path of the URL is forgotten, or one too many."""
    assert "vhost of RINGBACK_BROKER_URL does not exist" in await failing(
        f"amqp://guest:guest@127.0.0.1:{rabbit.port}/elsewhere"
    )


async def test_a_port_that_speaks_something_else_is_said_so(failing: Failing) -> None:
    """The management port is the one that people know from their browser."""

    def answer(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(answer) as port:
        words = await failing(f"amqp://guest:guest@127.0.0.1:{port}/")

    assert "not speak AMQP" in words


async def test_an_empty_answer_costs_no_process(failing: Failing) -> None:
    """A proxy that has no broker behind it closes at once."""
    with listening(lambda _connection: None) as port:
        assert await failing(f"amqp://guest:guest@127.0.0.1:{port}/")
