"""Where the sender connects to: names, addresses, certificates. Real sockets, real TLS, and a name
server of the test's own.

What it says when it does not get there: `test_reasons`.
"""

import asyncio
import errno
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
import trustme

from dispatcher.http.messages import HttpResponse, Request
from schemas.deliveries.deliveries import Outcome
from schemas.tokens.target_policy import TargetPolicy, parse_networks
from tests.kit.posting import BODY, LOOPBACK, Posting, answer_of
from tests.kit.receiver import Receiver
from tests.kit.waiting import eventually, free_port


@pytest.fixture
def tls_receiver(authority: trustme.CA) -> Iterator[Receiver]:
    """Its certificate is for `localhost`, signed by an authority that no system knows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with Receiver(context) as up:
        yield up


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


async def test_an_exhausted_process_says_so(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without descriptors no receiver can be called: the operator must not look for the fault at
    the receiver.
    """

    def no_socket(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("dispatcher.http.transfer._DuplicatedSocket", no_socket)

    answer = await answer_of(receiver.url("/ok"))

    assert (answer.failure, answer.error) == (
        Outcome.CONNECT,
        "no socket can be opened: Too many open files. Raise the limit of open files",
    )


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0"],
)  # fmt: skip
async def test_a_private_address_is_blocked_however_it_is_spelled(
    receiver: Receiver, host: str
) -> None:
    """The check sits on the address that is about to be connected to, so there is nothing to be
    fooled by.
    """
    answer = await answer_of(receiver.url("/ok", host=host), TargetPolicy())

    assert answer.failure is Outcome.BLOCKED
    assert "RINGBACK_ALLOW_TARGETS" in (answer.error or "")
    assert receiver.connections == 0


async def test_an_address_that_is_blocked_does_not_hide_one_that_is_allowed(
    receiver: Receiver,
) -> None:
    """`localhost` is ::1 as well, which the policy of this test refuses."""
    answer = await answer_of(receiver.url("/ok", host="localhost"))

    assert answer.status_code == 200


TARGETS = [
    "/", "/?", "/a/../b", "/./a", "/..", "/a/.", "/%7euser", "/%7Euser", "/a%2fb", "/%2e%2e/x",
    "//x//", "/a?b?c", "/a;b=c?x=%7e&y=%2F/../",
    "/%zz%", "/-._~:/?[]@!$&'()*+,;=%41", "/in?key=" + "k" * 1900,
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
async def test_what_is_called_is_what_was_saved(receiver: Receiver, target: str) -> None:
    """libcurl tidies paths up: another one than the page shows would be called, and signed services
    would refuse it.
    """
    url = receiver.url(target)
    assert LOOPBACK.url_fault(url) is None
    with Posting() as posting:
        for _ in range(2):
            assert (await posting.post(url)).status_code == 200

    assert [one.path for one in receiver.requests()] == [target, target]


@pytest.mark.parametrize(("tail", "path"), [("", "/"), ("?a=b", "/?a=b")])
async def test_a_url_without_a_path_asks_for_the_root(
    receiver: Receiver, tail: str, path: str
) -> None:
    """HTTP knows no empty path."""
    assert (await answer_of(receiver.url(tail))).status_code == 200
    assert [one.path for one in receiver.requests()] == [path]


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "ALL_PROXY"])
async def test_a_proxy_in_the_environment_is_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Through a proxy the address check would judge the proxy, not the target."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    answer = await answer_of(receiver.url("/ok"))

    assert answer.status_code == 200


class Names:
    """A name server: each name's addresses; one that has none is never answered."""

    def __init__(self, **addresses: tuple[str, ...]):
        self.addresses = addresses
        self.end = threading.Event()

    def look_up(self, host: str) -> tuple[str, ...]:
        return self.addresses[host] or (self.end.wait() and ())


async def test_a_name_is_looked_up_apart_from_libcurl(receiver: Receiver) -> None:
    """No resolver of this machine knows it; the first of its addresses is closed, so the second is
    tried.
    """
    names = Names(crm=("127.0.0.7", "127.0.0.1"))
    with Posting(look_up=names.look_up) as posting:
        answers = [await posting.post(receiver.url("/ok", host="crm")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert {request.headers["host"] for request in receiver.requests()} == {f"crm:{receiver.port}"}
    assert receiver.connections == 1


async def test_the_address_that_a_name_leads_to_is_judged(receiver: Receiver) -> None:
    """A name server can say anything."""
    with Posting(TargetPolicy(), look_up=Names(crm=("127.0.0.1",)).look_up) as posting:
        answer = await posting.post(receiver.url("/ok", host="crm"))

    assert answer.failure is Outcome.BLOCKED
    assert receiver.connections == 0


async def test_a_name_that_moved_is_called_at_its_new_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libcurl keeps the addresses it was given; those given later count. `/leave` makes each
    request connect again.
    """
    monkeypatch.setattr("dispatcher.http.resolver.CACHED_S", 0.01)
    names = Names(crm=("127.0.0.1",))
    with Posting(look_up=names.look_up) as posting:
        url = receiver.url("/leave", host="crm")
        there = await posting.post(url)
        names.addresses["crm"] = ("127.0.0.7",)
        await eventually(
            "what was found is forgotten", lambda: posting.sender._resolver.cached("crm") is None
        )
        moved = await posting.post(url)
        names.addresses["crm"] = ("127.0.0.1",)
        await eventually(
            "what was found is forgotten", lambda: posting.sender._resolver.cached("crm") is None
        )
        back = await posting.post(url)

    assert (there.status_code, moved.failure, back.status_code) == (200, Outcome.CONNECT, 200)


async def test_a_name_that_moves_inside_is_judged_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a public address when it is saved, then one that must not be reached from
    outside.
    """
    monkeypatch.setattr("dispatcher.http.resolver.CACHED_S", 0.01)
    names = Names(crm=("127.0.0.1",))
    with Posting(TargetPolicy(parse_networks(["127.0.0.1/32"])), look_up=names.look_up) as posting:
        url = receiver.url("/leave", host="crm")
        before = await posting.post(url)
        names.addresses["crm"] = ("127.0.0.7",)
        await eventually(
            "what was found is forgotten", lambda: posting.sender._resolver.cached("crm") is None
        )
        after = await posting.post(url)

    assert (before.status_code, after.failure) == (200, Outcome.BLOCKED)


async def test_a_name_without_an_answer_costs_only_its_own_callbacks(
    receiver: Receiver,
) -> None:
    """More of them than libcurl has threads: another name's attempt goes out meanwhile, and closing
    waits for none of them.
    """
    names = Names(crm=("127.0.0.1",), **{f"silent{n}": () for n in range(30)})
    answers: list[HttpResponse] = []
    with Posting(look_up=names.look_up) as posting:
        for number in range(30):
            posting.sender.post(Request(f"http://silent{number}/", (), BODY), answers.append)

        assert (await posting.post(receiver.url("/ok", host="crm"))).status_code == 200
        assert (answers, posting.sender.in_flight) == ([], 30)
        seeking = list(posting.sender._resolving)

    assert posting.sender.in_flight == 0
    await asyncio.wait(seeking)
    assert all(one.cancelled() for one in seeking)
    assert answers == []
    names.end.set()


async def test_a_name_that_is_not_resolved_in_time_is_a_failure_of_dns() -> None:
    """The time for the connection includes finding out where to."""
    names = Names(silent=())
    with Posting(timeout_s=0.1, look_up=names.look_up) as posting:
        answer = await posting.post("http://silent/")
    names.end.set()

    assert answer.failure is Outcome.DNS
    assert (answer.error or "").startswith("the name silent was not resolved within 0.1 s. ")
    assert answer.duration_s >= 0.09  # the event loop's clock counts whole milliseconds


async def test_the_time_for_a_name_is_part_of_the_time_for_the_answer(receiver: Receiver) -> None:
    """An attempt must end within its lease. The next request of the same handle has all its time
    again.
    """
    names, answers = Names(late=()), list[HttpResponse]()
    with Posting(
        timeout_s=2, look_up=lambda host: names.look_up(host) or ("127.0.0.1",)
    ) as posting:
        posting.sender.post(Request(receiver.url("/hang", host="late"), (), BODY), answers.append)
        (transfer,) = posting.sender._resolving.values()
        transfer._started_s -= 1.5  # as if the name had taken that long
        names.end.set()
        await eventually("the end of it", lambda: answers)
        again = await posting.post(receiver.url("/slow/1000"))

    assert answers[0].failure is Outcome.TIMEOUT
    assert answers[0].duration_s < 3.4, "1.5 s for the name and 2 for the answer"
    assert again.status_code == 200


async def test_a_certificate_of_a_trusted_authority_is_accepted(
    tls_receiver: Receiver, ca_file: str
) -> None:
    """TLS as it is meant to be."""
    answer = await answer_of(tls_receiver.url("/ok", host="localhost"), ca_file=ca_file)

    assert answer.status_code == 200


async def test_a_handshake_that_never_ends_is_a_failure_of_tls(receiver: Receiver) -> None:
    """A plain server takes the greeting for the beginning of a request and waits for more. The
    handle was used before.
    """
    with Posting(timeout_s=1) as posting:
        await posting.post(receiver.url("/ok"))
        answer = await posting.post(receiver.url("/ok").replace("http://", "https://"))

    assert answer.failure is Outcome.TLS
