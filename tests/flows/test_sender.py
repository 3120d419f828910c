"""The sender against a real receiver that misbehaves. Where it connects to:
`test_sender_targets`.
"""

import asyncio
import sys

import pycurl
import pytest
import pytest_asyncio

from dispatcher.http.messages import HttpResponse, Request
from dispatcher.http.transfer import KEPT_BODY_BYTES
from schemas.deliveries.deliveries import Outcome
from schemas.tokens.target_policy import TargetPolicy
from tests.kit.posting import BODY, Posting, answer_of
from tests.kit.receiver import Receiver
from tests.kit.waiting import eventually, free_port


async def test_a_good_answer_comes_back_and_the_request_arrived_as_given(
    receiver: Receiver,
) -> None:
    """The plain case: status, body, duration, and the very bytes and headers on the other side."""
    with Posting() as posting:
        answer = await posting.post(
            receiver.url("/ok/1"), b"{\0}", ("content-type: application/json", "webhook-id: evt_7")
        )

    assert (answer.status_code, answer.body, answer.failure, answer.error) == (
        200,
        b"ok",
        None,
        None,
    )
    assert 0 < answer.duration_s < 5
    (request,) = receiver.requests("/ok/1")
    assert request.body == b"{\0}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "evt_7"


async def test_a_large_body_is_sent_at_once(receiver: Receiver) -> None:
    """libcurl asks `expect: 100-continue` for large bodies, which costs a round trip and confuses
    some receivers.
    """
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

    assert (answer.failure, answer.status_code) == (Outcome.TIMEOUT, None)
    assert (
        answer.error == "no answer within 1 s. The receiver should answer first and work afterwards"
    )


@pytest.mark.parametrize("path", ["/endless", "/large/200000"])
async def test_a_body_that_is_too_long_is_cut_off_and_judged_by_its_status(
    receiver: Receiver, path: str
) -> None:
    """Reading on would let any receiver hold us; the status has all that matters."""
    answer = await answer_of(receiver.url(path))

    assert (answer.status_code, answer.failure) == (200, None)
    assert answer.body == b"x" * KEPT_BODY_BYTES


async def test_headers_without_measure_are_refused(receiver: Receiver) -> None:
    """They are kept until the end of the answer, so there must be an end."""
    answer = await answer_of(receiver.url("/headers/1000000"))

    assert answer.failure is Outcome.PROTOCOL
    assert "too large" in (answer.error or "")


async def test_a_compressed_body_is_not_decompressed(receiver: Receiver) -> None:
    """A kilobyte could become a gigabyte."""
    answer = await answer_of(receiver.url("/gzip"))

    assert answer.body.startswith(b"\x1f\x8b")


async def test_an_idle_handle_keeps_nothing_of_its_last_request(receiver: Receiver) -> None:
    """There may be as many as there ever were requests at once, and a body may have 256 KiB."""
    body = bytes(300_000)
    with Posting() as posting:
        before = sys.getrefcount(body)
        await posting.post(receiver.url("/ok"), body)

        assert sys.getrefcount(body) == before
        assert posting.sender._idle[-1]._head == []


async def test_a_hundred_requests_fly_at_once(receiver: Receiver) -> None:
    """One thread, no coroutine each: none waits for another."""
    answers: list[HttpResponse] = []
    with Posting() as posting:
        for number in range(100):
            posting.sender.post(
                Request(receiver.url(f"/slow/100/{number}"), (), BODY), answers.append
            )

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
async def test_a_kept_connection_that_the_receiver_closed_costs_no_attempt(
    receiver: Receiver, path: str
) -> None:
    """Closed before the next request, or when it arrives: nothing of an answer came, so it goes out
    on a new connection.
    """
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
    answers: list[HttpResponse] = []

    def fail(_answer: HttpResponse) -> None:
        raise RuntimeError("a mistake")

    with Posting(TargetPolicy()) as posting:
        for on_answer in (fail, answers.append, fail, answers.append):
            posting.sender.post(Request("http://127.0.0.1/", (), BODY), on_answer)
        await eventually("all answers", lambda: posting.sender.in_flight == 0)

    assert len(answers) == 2
    assert complaints == ["the callback of a transfer failed"] * 2


async def test_a_request_that_cannot_join_costs_the_others_nothing(receiver: Receiver) -> None:
    """They join in one turn of the loop; the one that libcurl refuses is reported, and fails as any
    other.
    """
    answers: list[HttpResponse] = []
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


async def test_an_answer_that_cannot_be_read_is_an_answer_all_the_same(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An internal error: without an answer the caller would wait for ever. The handle is used
    again.
    """

    def fail(*_: object) -> None:
        raise IndexError

    with Posting() as posting:
        with monkeypatch.context() as broken:
            broken.setattr("dispatcher.http.transfer.field", fail)
            answer = await posting.post(receiver.url("/redirect"))
        again = await posting.post(receiver.url("/ok"))

    assert (answer.failure, answer.status_code) == (Outcome.PROTOCOL, None)
    assert isinstance(answer.internal_error, IndexError)
    assert (again.status_code, again.internal_error) == (200, None)


async def test_closing_aborts_what_is_in_flight_without_a_word(
    receiver: Receiver, complaints: list[str]
) -> None:
    """Who stops has given the deliveries back already: a late answer would be one too many."""
    answers: list[HttpResponse] = []
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
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: messages.append(context["message"])
    )
    return messages
