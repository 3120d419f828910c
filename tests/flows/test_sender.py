"""The sender against a real receiver that misbehaves: real sockets, real TLS."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pycurl
import pytest
import pytest_asyncio
import trustme

from dispatcher.sender import KEPT_BODY_BYTES, Answer, Request, Sender
from schemas.deliveries import Outcome
from schemas.targets import TargetPolicy, parse_networks
from tests.kit.receiver import Receiver
from tests.kit.waiting import eventually, free_port

LOOPBACK = TargetPolicy(parse_networks(["127.0.0.0/8"]))
BODY = b'{"id":"evt_1"}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as up:
        yield up


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_receiver(authority: trustme.CA) -> Iterator[Receiver]:
    """Its certificate is for `localhost`, signed by an authority that no system knows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with Receiver(context) as up:
        yield up


class Posting:
    """A sender whose answers can be awaited; closes it at the end of a `with`."""

    def __init__(self, policy: TargetPolicy = LOOPBACK, *, timeout_s: float = 5, ca_file: str | None = None):
        self.sender = Sender(asyncio.get_running_loop(), policy, timeout_s=timeout_s, connect_timeout_s=2, ca_file=ca_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sender.close()

    async def post(self, url: str, body: bytes = BODY, headers: tuple[str, ...] = ("webhook-id: evt_1",)) -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.sender.post(Request(url, headers, body), answered.set_result)
        return await asyncio.wait_for(answered, 20)


async def answer_of(url: str, policy: TargetPolicy = LOOPBACK, *, timeout_s: float = 5, ca_file: str | None = None) -> Answer:
    with Posting(policy, timeout_s=timeout_s, ca_file=ca_file) as posting:
        return await posting.post(url)


async def test_a_good_answer_comes_back_and_the_request_arrived_as_given(receiver: Receiver) -> None:
    """The plain case: status, body, duration, and the very bytes and headers on the other side."""
    with Posting() as posting:
        answer = await posting.post(receiver.url("/ok/1"), b"{\0}", ("content-type: application/json", "webhook-id: evt_7"))

    assert (answer.status_code, answer.body, answer.failure, answer.error) == (200, b"ok", None, None)
    assert 0 < answer.duration_s < 5
    (request,) = receiver.requests("/ok/1")
    assert request.body == b"{\0}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "evt_7"


async def test_a_large_body_is_sent_at_once(receiver: Receiver) -> None:
    """libcurl asks `expect: 100-continue` for large bodies, which costs a round trip and confuses some receivers."""
    with Posting() as posting:
        answer = await posting.post(receiver.url("/ok/large"), b"x" * 2_000_000)

    assert answer.status_code == 200
    assert "expect" not in receiver.requests("/ok/large")[0].headers


@pytest.mark.parametrize("status", [204, 400, 410, 500, 599])
async def test_any_status_is_an_answer(receiver: Receiver, status: int) -> None:
    """What a status means is the verdict's to say."""
    answer = await answer_of(receiver.url(f"/status/{status}"))

    assert (answer.status_code, answer.failure) == (status, None)


async def test_a_redirect_is_reported_and_not_followed(receiver: Receiver) -> None:
    """It could lead anywhere, inside too."""
    answer = await answer_of(receiver.url("/redirect"))

    assert (answer.status_code, answer.location, answer.failure) == (302, "/ok/redirected", None)
    assert not receiver.requests("/ok/redirected")


async def test_retry_after_is_handed_on(receiver: Receiver) -> None:
    """The receiver knows best when it is back."""
    answer = await answer_of(receiver.url("/after/17"))

    assert (answer.status_code, answer.retry_after) == (429, "17")


async def test_headers_of_an_interim_answer_are_not_those_of_the_answer(receiver: Receiver) -> None:
    """A 103 with a Retry-After says nothing about the 503 that follows."""
    answer = await answer_of(receiver.url("/interim"))

    assert (answer.status_code, answer.retry_after) == (503, None)


async def test_no_answer_in_time_is_a_timeout(receiver: Receiver) -> None:
    """A hanging receiver must not be waited for longer than agreed."""
    answer = await answer_of(receiver.url("/hang"), timeout_s=1)

    assert (answer.failure, answer.status_code, answer.error) == (Outcome.TIMEOUT, None, "no answer within 1 s")


async def test_an_answer_that_never_ends_is_too_slow(receiver: Receiver) -> None:
    """It began, so it is told apart from silence, and what came of it is kept."""
    answer = await answer_of(receiver.url("/drip"), timeout_s=1)

    assert (answer.failure, answer.status_code) == (Outcome.TOO_SLOW, 200)
    assert answer.body.startswith(b"x")
    assert answer.error == "the answer began (HTTP 200) but did not end within 1 s"


@pytest.mark.parametrize("path", ["/endless", "/large/200000"])
async def test_a_body_that_is_too_long_is_cut_off_and_judged_by_its_status(receiver: Receiver, path: str) -> None:
    """Reading on would let any receiver hold us; the status has all that matters."""
    answer = await answer_of(receiver.url(path))

    assert (answer.status_code, answer.failure) == (200, None)
    assert answer.body == b"x" * KEPT_BODY_BYTES


async def test_headers_without_measure_are_refused(receiver: Receiver) -> None:
    """They are kept until the end of the answer, so there must be an end."""
    answer = await answer_of(receiver.url("/headers/1000000"))

    assert answer.failure is Outcome.PROTOCOL
    assert "Too large response headers" in (answer.error or "")


async def test_a_compressed_body_is_not_decompressed(receiver: Receiver) -> None:
    """A kilobyte could become a gigabyte."""
    answer = await answer_of(receiver.url("/gzip"))

    assert answer.body.startswith(b"\x1f\x8b")


@pytest.mark.parametrize("path", ["/garbage", "/close", "/cut"])
async def test_what_is_no_whole_http_answer_breaks_the_protocol(receiver: Receiver, path: str) -> None:
    """Also a 2xx that is cut short: who cannot finish an answer may not have finished the work."""
    answer = await answer_of(receiver.url(path))

    assert answer.failure is Outcome.PROTOCOL
    assert answer.error


async def test_a_closed_port_is_no_connection() -> None:
    """Told apart from a name that does not resolve and from a refused address."""
    answer = await answer_of(f"http://127.0.0.1:{free_port()}/")

    assert (answer.failure, answer.status_code) == (Outcome.CONNECT, None)
    assert "Could not connect" in (answer.error or "")


async def test_an_unknown_name_is_a_failure_of_dns() -> None:
    """`.invalid` never resolves (RFC 6761)."""
    answer = await answer_of("http://no-such-host.invalid/")

    assert answer.failure is Outcome.DNS
    assert "no-such-host.invalid" in (answer.error or "")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0"],
)  # fmt: skip
async def test_a_private_address_is_blocked_however_it_is_spelled(receiver: Receiver, host: str) -> None:
    """The check sits on the address that is about to be connected to, so there is nothing to be fooled by."""
    answer = await answer_of(receiver.url("/ok", host=host), TargetPolicy())

    assert answer.failure is Outcome.BLOCKED
    assert "RINGBACK_ALLOW_TARGETS" in (answer.error or "")
    assert receiver.connections == 0


async def test_an_address_that_is_blocked_does_not_hide_one_that_is_allowed(receiver: Receiver) -> None:
    """`localhost` is ::1 as well, which the policy of this test refuses."""
    answer = await answer_of(receiver.url("/ok", host="localhost"))

    assert answer.status_code == 200


async def test_an_exhausted_process_says_so(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without descriptors nobody can be called: the operator must not look for the fault at the receiver."""

    def no_socket(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("dispatcher.sender._Handed", no_socket)

    answer = await answer_of(receiver.url("/ok"))

    assert (answer.failure, answer.error) == (Outcome.CONNECT, "no socket can be opened: Too many open files")


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "ALL_PROXY"])
async def test_a_proxy_in_the_environment_is_ignored(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Through a proxy the address check would judge the proxy, not the target."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    answer = await answer_of(receiver.url("/ok"))

    assert answer.status_code == 200


async def test_a_certificate_of_an_unknown_authority_is_refused(tls_receiver: Receiver) -> None:
    """Nothing is sent to who cannot prove who they are."""
    answer = await answer_of(tls_receiver.url("/ok", host="localhost"))

    assert answer.failure is Outcome.TLS
    assert "certificate" in (answer.error or "")
    assert not tls_receiver.requests()


async def test_a_certificate_for_another_host_is_refused(tls_receiver: Receiver, ca_file: str) -> None:
    """The authority is trusted, but what it signed is not about this host."""
    answer = await answer_of(tls_receiver.url("/ok", host="127.0.0.1"), ca_file=ca_file)

    assert answer.failure is Outcome.TLS
    assert not tls_receiver.requests()


async def test_a_certificate_of_a_trusted_authority_is_accepted(tls_receiver: Receiver, ca_file: str) -> None:
    """TLS as it is meant to be."""
    answer = await answer_of(tls_receiver.url("/ok", host="localhost"), ca_file=ca_file)

    assert answer.status_code == 200


async def test_a_handshake_that_never_ends_is_a_failure_of_tls(receiver: Receiver) -> None:
    """A plain server takes the greeting for the beginning of a request and waits for more. The handle was used before."""
    with Posting(timeout_s=1) as posting:
        await posting.post(receiver.url("/ok"))
        answer = await posting.post(receiver.url("/ok").replace("http://", "https://"))

    assert answer.failure is Outcome.TLS


async def test_a_connection_that_is_never_made_is_a_failure_to_connect() -> None:
    """A full backlog swallows connection requests without a word, as many firewalls do."""
    with socket.socket() as deaf, socket.socket() as one, socket.socket() as two:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for waiting in (one, two):
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())

        answer = await answer_of(f"http://127.0.0.1:{deaf.getsockname()[1]}/", timeout_s=1)

    assert (answer.failure, answer.status_code) == (Outcome.CONNECT, None)


async def test_a_hundred_requests_fly_at_once(receiver: Receiver) -> None:
    """One thread, no coroutine each: none waits for another."""
    answers: list[Answer] = []
    with Posting() as posting:
        for number in range(100):
            posting.sender.post(Request(receiver.url(f"/slow/100/{number}"), (), BODY), answers.append)

        assert posting.sender.in_flight == 100
        await eventually("a hundred answers", lambda: len(answers) == 100)

        assert posting.sender.in_flight == 0
    assert {answer.status_code for answer in answers} == {200}
    assert len(receiver.requests()) == 100


async def test_connections_are_kept(receiver: Receiver) -> None:
    """A handshake per webhook would cost more than the webhook."""
    with Posting() as posting:
        for _ in range(5):
            await posting.post(receiver.url("/ok"))

    assert receiver.connections == 1


@pytest.mark.parametrize("path", ["/leave", "/once"])
async def test_a_kept_connection_that_the_receiver_closed_costs_no_attempt(receiver: Receiver, path: str) -> None:
    """Closed before the next request, or when it arrives: nothing of an answer came, so it goes out on a new connection."""
    with Posting() as posting:
        answers = [await posting.post(receiver.url(path)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert receiver.connections == 3


async def test_nothing_of_one_answer_is_found_in_the_next(receiver: Receiver) -> None:
    """Handles are used again and again."""
    with Posting() as posting:
        await posting.post(receiver.url("/after/17"))
        again = await posting.post(receiver.url("/status/500"))
        refused = await posting.post(f"http://127.0.0.1:{free_port()}/")

    assert (again.status_code, again.retry_after) == (500, None)
    assert (refused.status_code, refused.body, refused.retry_after) == (None, b"", None)


async def test_a_reader_that_fails_costs_the_others_nothing(complaints: list[str]) -> None:
    """Their answers came in the same turn of the loop: refused addresses are known at once."""
    answers: list[Answer] = []

    def fail(_answer: Answer) -> None:
        raise RuntimeError("a mistake")

    with Posting(TargetPolicy()) as posting:
        for on_answer in (fail, answers.append, fail, answers.append):
            posting.sender.post(Request("http://127.0.0.1/", (), BODY), on_answer)
        await eventually("all answers", lambda: posting.sender.in_flight == 0)

    assert len(answers) == 2
    assert complaints == ["the reader of an answer failed"] * 2


async def test_a_request_that_cannot_join_costs_the_others_nothing(receiver: Receiver) -> None:
    """They join in one turn of the loop; the one that libcurl refuses is told, and fails as any other."""
    answers: list[Answer] = []
    with Posting() as posting:
        await posting.post(receiver.url("/ok"))
        refused, elsewhere = posting.sender._idle[-1].curl, pycurl.CurlMulti()
        elsewhere.add_handle(refused)  # a handle joins once only
        for _ in range(3):
            posting.sender.post(Request(receiver.url("/ok"), (), BODY), answers.append)
        await eventually("all answers", lambda: len(answers) == 3)
        elsewhere.remove_handle(refused)

    assert [answer.status_code for answer in answers] == [None, 200, 200]
    assert answers[0].failure is Outcome.PROTOCOL
    assert "could not be started" in (answers[0].error or "")


async def test_an_answer_that_cannot_be_read_is_an_answer_all_the_same(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours: who waits would wait for ever. The handle is used again."""

    def fail(*_: object) -> None:
        raise IndexError

    with Posting() as posting:
        with monkeypatch.context() as broken:
            broken.setattr("dispatcher.sender._Transfer._field", fail)
            answer = await posting.post(receiver.url("/redirect"))
        again = await posting.post(receiver.url("/ok"))

    assert (answer.failure, answer.status_code) == (Outcome.PROTOCOL, None)
    assert isinstance(answer.mistake, IndexError)
    assert (again.status_code, again.mistake) == (200, None)


async def test_closing_aborts_what_is_in_flight_without_a_word(receiver: Receiver, complaints: list[str]) -> None:
    """Who stops has given the deliveries back already: a late answer would be one too many."""
    answers: list[Answer] = []
    posting = Posting()
    posting.sender.post(Request(receiver.url("/hang"), (), BODY), answers.append)
    await eventually("the request", lambda: receiver.requests("/hang"))
    posting.sender.post(Request(receiver.url("/ok"), (), BODY), answers.append)

    posting.sender.close()

    assert posting.sender.in_flight == 0
    assert await answer_of(receiver.url("/ok")), "the loop goes on"
    assert (answers, complaints) == ([], [])


@pytest_asyncio.fixture
async def complaints() -> list[str]:
    """What the loop had to report of callbacks that failed."""
    messages: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: messages.append(context["message"]))
    return messages


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")
