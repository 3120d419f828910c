"""What an attempt meets: the address, the phases, the headers; by the sender, and all the way to
the API.
"""

import ssl
import threading
from collections.abc import Iterator

import pytest
import trustme

from dispatcher.http.messages import HttpResponse
from dispatcher.http.timing import socket_address
from schemas.deliveries.deliveries import Outcome
from schemas.deliveries.phases import NO_PHASES
from schemas.tokens.target_policy import TargetPolicy
from tests.flows.conftest import Starting
from tests.kit.blunt import blunt
from tests.kit.platform import MESSAGE, message, wait_for_state
from tests.kit.posting import Posting, answer_of
from tests.kit.receiver import Receiver
from tests.kit.waiting import free_port


@pytest.fixture
def tls_receiver(authority: trustme.CA) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "crm").configure_cert(context)
    with Receiver(context) as made:
        yield made


def known(answer: HttpResponse) -> set[str]:
    """The phases that there were."""
    phases = answer.phases
    return {name for name in phases.__struct_fields__ if getattr(phases, name) is not None}


@pytest.mark.parametrize(
    ("host", "text"), [("203.0.113.7", "203.0.113.7:443"), ("2001:db8::7", "[2001:db8::7]:443")]
)
def test_an_address_is_written_as_in_a_url(host: str, text: str) -> None:
    """Without the brackets no reader could tell where an IPv6 address ends."""
    assert socket_address(host, 443) == text


async def test_a_new_connection_has_its_phases_and_a_kept_one_only_waits(
    tls_receiver: Receiver, ca_file: str
) -> None:
    """What took long the first time takes nothing afterwards. No name is looked up: `localhost`
    is known without.
    """
    with Posting(ca_file=ca_file) as posting:
        first = await posting.post(tls_receiver.url("/ok", host="localhost"))
        second = await posting.post(tls_receiver.url("/ok", host="localhost"))

    assert known(first) == {"connect_ms", "tls_ms", "wait_ms"}
    assert known(second) == {"wait_ms"}
    assert tls_receiver.connections == 1
    assert first.address == second.address == f"127.0.0.1:{tls_receiver.port}"


async def test_the_look_up_of_a_name_is_a_phase_of_the_attempt_that_waits_for_it(
    receiver: Receiver,
) -> None:
    """The next connection finds its addresses known: `/leave` makes it a new one."""

    def look_up(_: str) -> tuple[str, ...]:
        threading.Event().wait(0.1)
        return ("127.0.0.1",)

    with Posting(look_up=look_up) as posting:
        first = await posting.post(receiver.url("/leave", host="crm"))
        second = await posting.post(receiver.url("/leave", host="crm"))
        third = await posting.post(receiver.url("/ok", host="crm"))
        kept = await posting.post(receiver.url("/ok", host="crm"))

    assert (first.phases.dns_ms or 0) >= 100
    assert [one.phases.dns_ms for one in (second, third, kept)] == [0, 0, None]
    assert first.address == f"127.0.0.1:{receiver.port}"
    assert known(kept) == {"wait_ms"}


async def test_a_name_that_is_not_found_has_taken_its_time() -> None:
    """It is all that there was."""

    def look_up(_: str) -> tuple[str, ...]:
        threading.Event().wait(0.1)
        raise OSError("no such name")

    with Posting(look_up=look_up) as posting:
        answer = await posting.post("http://crm/")

    assert (answer.failure, known(answer), answer.address) == (Outcome.DNS, {"dns_ms"}, None)
    assert (answer.phases.dns_ms or 0) >= 100


async def test_the_wait_ends_with_the_first_byte(receiver: Receiver) -> None:
    """It is the receiver's share."""
    answer = await answer_of(receiver.url("/slow/200"))

    assert 190 <= (answer.phases.wait_ms or 0) <= answer.duration_s * 1000 + 1


async def test_a_wait_without_an_end_counts_until_the_timeout(receiver: Receiver) -> None:
    """The phases must explain where the time went, above all when it was lost."""
    answer = await answer_of(receiver.url("/hang"), timeout_s=0.5)

    assert answer.failure is Outcome.TIMEOUT
    assert (answer.phases.wait_ms or 0) >= 450
    assert answer.headers is None


async def test_a_handshake_without_an_end_counts_until_the_timeout(receiver: Receiver) -> None:
    """A plain server takes the greeting for the beginning of a request."""
    url = receiver.url("/ok").replace("http://", "https://")
    with Posting(timeout_s=0.5) as posting:
        await posting.post(receiver.url("/ok"))  # the handle has times of another request
        answer = await posting.post(url)

    assert (answer.failure, known(answer)) == (Outcome.TLS, {"connect_ms", "tls_ms"})
    assert (answer.phases.tls_ms or 0) >= 450
    assert answer.address == f"127.0.0.1:{receiver.port}"


async def test_a_refused_connection_names_the_address_that_was_tried() -> None:
    """Of a name with many, the person who looks must know which."""
    port = free_port()
    answer = await answer_of(f"http://127.0.0.1:{port}/")

    assert (answer.failure, answer.address) == (Outcome.CONNECT, f"127.0.0.1:{port}")
    assert known(answer) == {"connect_ms"}


async def test_a_blocked_address_was_not_connected_to(receiver: Receiver) -> None:
    """The handle was used before: nothing of that request may be shown with this one."""
    policy = TargetPolicy()
    with Posting(policy) as posting:
        answer = await posting.post(receiver.url("/ok"))

    assert answer.failure is Outcome.BLOCKED
    assert (answer.address, answer.phases, answer.headers) == (None, NO_PHASES, None)


@pytest.mark.parametrize("status", [200, 503])
async def test_headers_are_kept_with_any_status(status: int) -> None:
    """What a proxy on the way says is in them."""
    raw = (
        b"HTTP/1.1 %d x\r\nServer: proxy\r\nSet-Cookie: id=1\r\nContent-Length: 0\r\n\r\n" % status
    )
    async with blunt(raw) as server:
        answer = await answer_of(f"http://127.0.0.1:{server.port}/")

    assert answer.headers == {"server": "proxy", "set-cookie": "***", "content-length": "0"}


async def test_a_head_that_is_not_whole_has_no_headers() -> None:
    """It may have been about to say something else."""
    async with blunt(b"HTTP/1.1 200 x\r\nServer: proxy\r\n") as server:
        answer = await answer_of(f"http://127.0.0.1:{server.port}/")

    assert (answer.failure, answer.headers) == (Outcome.PROTOCOL, None)
    assert answer.address == f"127.0.0.1:{server.port}"


def test_a_delivery_shows_what_its_attempt_met(start: Starting, receiver: Receiver) -> None:
    """From libcurl to the API, through either database."""
    ringback = start()
    ringback.token("crm", callbacks={MESSAGE: receiver.url("/slow/100")})

    ringback.publisher.send("POST", "/v1/events", message(1) | {"id": "evt_met"})

    (attempt,) = wait_for_state(ringback.admin, "evt_met", "delivered")["attempts"]
    assert attempt["address"] == f"127.0.0.1:{receiver.port}"
    assert attempt["response_headers"] == {"connection": "close", "content-length": "2"}
    phases = attempt["phases_ms"]
    assert (phases["dns"], phases["tls"]) == (None, None)
    assert phases["connect"] >= 0
    assert 90 <= phases["wait"] <= attempt["duration_ms"] + 1
