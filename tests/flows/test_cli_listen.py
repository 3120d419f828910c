"""`ringback listen`: what it says of genuine and of forged webhooks, and how it misbehaves."""

import datetime as dt
import http.client
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from ringback.cli.listen import QUICKSTART_PORT, advice
from ringback.cli.listen_server import TOLERANCE_S, fault
from tests.kit.command import Place

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = bytes.fromhex("31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0")
NOW = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)
BODY = b'{"id":"evt_1","price":1.10}'


def signed(body: bytes = BODY, at: dt.datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    """By the standard's own library: not one line of ours vouches for itself."""
    signature = Webhook(secret).sign("evt_1", at, body.decode())
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def judged(
    headers: dict[str, str], body: bytes = BODY, keys: Sequence[bytes] = (KEY,)
) -> str | None:
    return fault(keys, headers, body, NOW.timestamp())


def test_a_genuine_webhook_verifies() -> None:
    """Otherwise nothing else here means anything."""
    assert judged(signed()) is None


def test_any_of_several_signatures_and_of_several_secrets_will_do() -> None:
    """During a rotation there are two of each."""
    headers = signed()
    headers["webhook-signature"] = f"v1,AAAA v2,BBBB {headers['webhook-signature']}"

    assert judged(headers, keys=[b"another key of another secret...", KEY]) is None


@given(
    st.binary(max_size=40),
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]),
    st.text(max_size=40),
)
def test_nothing_but_what_was_signed_verifies(body: bytes, header: str, value: str) -> None:
    """Whatever is changed on the way, and however oddly."""
    genuine = signed()

    if body != BODY:
        assert judged(genuine, body) is not None
    if value.split() != genuine[header].split():
        assert judged(genuine | {header: value}) is not None


def test_what_is_too_old_or_from_the_future_is_rejected() -> None:
    """A recorded request must not be good for ever."""
    limit = dt.timedelta(seconds=TOLERANCE_S + 1)

    assert "old" in str(judged(signed(at=NOW - limit)))
    assert "old" in str(judged(signed(at=NOW + limit)))


class Listening:
    """A running `ringback listen`, what it said so far, and a way to post to it."""

    def __init__(self, place: Place, *options: str):
        self.process = place.start("listen", "--port", "0", "--secret", SECRET, *options)
        self._said: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()
        match = re.search(r"http://127\.0\.0\.1:(\d+)", self.line())
        assert match
        self.port = int(match[1])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.rstrip("\n"))

    def line(self) -> str:
        return self._said.get(timeout=20)

    def post(self, headers: dict[str, str], body: bytes = BODY) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", "/", body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    started: list[subprocess.Popen[str]] = []
    made = Place(tmp_path)
    start = made.start

    def start_and_keep(*arguments: str) -> subprocess.Popen[str]:
        started.append(start(*arguments))
        return started[-1]

    made.start = start_and_keep  # type: ignore[method-assign]  # to end them below
    yield made
    for process in started:
        process.kill()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


def test_each_webhook_is_printed_as_it_comes_with_the_verdict_first(place: Place) -> None:
    """The newcomer waits for exactly this line; and numbers are shown as they were sent."""
    listening = Listening(place)

    status = listening.post(signed(at=dt.datetime.now(dt.UTC)))

    assert status == 204
    assert listening.line() == "verified evt_1"
    said = [listening.line() for _ in range(7)]
    assert "webhook-id: evt_1" in said
    assert '  "price": 1.10' in said


def test_a_forged_webhook_is_rejected_with_the_reason(place: Place) -> None:
    """The first thing that goes wrong is a secret pasted from another token."""
    listening = Listening(place)

    listening.post(signed(at=dt.datetime.now(dt.UTC)), b'{"id":"evt_2"}')

    assert (
        listening.line()
        == "REJECTED evt_1: the signature does not match: another secret, or the body was changed "
        "in transit"
    )


def test_it_fails_on_purpose_when_asked_to(place: Place) -> None:
    """Retries are best seen with a receiver that misbehaves."""
    listening = Listening(place, "--status", "410", "--fail-ratio", "0")
    failing = Listening(place, "--fail-ratio", "1")

    assert listening.post({}) == 410
    assert failing.post({}) == 500
    assert listening.line() == "REJECTED without an id: the header webhook-id is missing"
    assert listening.line() == "(answered 410)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_is_no_failure(place: Place, number: signal.Signals) -> None:
    """Ctrl-C is how one ends it."""
    assert Listening(place).end(number) == 0


def test_a_taken_port_is_one_line_that_names_the_option(place: Place) -> None:
    """The newcomer may have one running already."""
    listening = Listening(place)

    done = place.call("listen", "--port", str(listening.port))

    assert done.status == 1
    assert "choose another port with --port" in done.err
    assert done.err.count("\n") == 1


def test_on_the_quickstarts_port_another_one_is_no_way_out() -> None:
    """The newcomer would listen where nothing comes."""
    assert "the quickstart's callbacks go to port 9000" in advice(QUICKSTART_PORT)
    assert "quickstart" not in advice(QUICKSTART_PORT + 1)
