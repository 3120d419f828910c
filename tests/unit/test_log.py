"""The log: one line per attempt, no secrets, and never in the way of a delivery."""

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

import ringback.observability.log
from ringback.observability.log import AtOnce, Libraries, Log
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.log_events import LogEvent
from schemas.observer import AttemptReport
from tests.kit.making import a_delivery, an_attempt
from tests.kit.waiting import wait_for


class Pipe:
    """A log whose reader is the test, and the count of what it lost."""

    def __init__(self, *, pretty: bool = False):
        self.reader, self.writer = os.pipe()
        self.lost = 0
        self.log = Log(self.writer, pretty=pretty, dropped=self._lose)
        self.log.start()

    def _lose(self, lines: int) -> None:
        self.lost += lines

    def read(self) -> str:
        """Everything that was written, once the log is closed."""
        with os.fdopen(self.reader, "rb") as reader, ThreadPoolExecutor(1) as aside:
            self.reader = -1
            everything = aside.submit(
                reader.read
            )  # in another thread: a full pipe would never let the log close
            self.log.close(limit_s=30)
            self.hang_up(self.writer)
            return everything.result().decode()

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.read().splitlines()]

    def hang_up(self, end: int) -> None:
        os.close(end)
        self.reader, self.writer = (
            -1 if each == end else each for each in (self.reader, self.writer)
        )

    def close(self) -> None:
        """The reader first, which frees a thread that still writes: later it would write into
        another test's pipe.
        """
        if self.reader != -1:
            self.hang_up(self.reader)
        self.log.close(limit_s=30)
        if self.writer != -1:
            self.hang_up(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def a_report(outcome: Outcome = Outcome.DELIVERED, error: str | None = None) -> AttemptReport:
    return AttemptReport(
        a_delivery(), an_attempt(outcome, error=error), DeliveryState.PENDING, None, None, 5.5
    )


def test_each_attempt_is_one_wide_line(pipe: Pipe) -> None:
    """A search of the log by event, token or outcome finds the rest on the same line."""
    pipe.log.attempted([a_report(), a_report(Outcome.HTTP_5XX, "HTTP 500")])

    first, second = pipe.lines()

    assert (first["event"], first["level"]) == ("attempt", "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(first["timestamp"]))
    assert first["event_id"] == "evt_1"
    assert first["delivery_id"] == f"dlv_{'a' * 16}_evt_1"
    assert (first["type"], first["trigger"], first["number"], first["state"]) == (
        "message.received",
        "first",
        1,
        "pending",
    )
    assert (second["outcome"], second["error"], second["next_attempt_in_s"]) == (
        "http_5xx",
        "HTTP 500",
        5.5,
    )


def test_neither_headers_nor_answers_are_logged(pipe: Pipe) -> None:
    """A callback's own headers are secrets, and a receiver may answer with anything."""
    attempt = msgspec.structs.replace(
        an_attempt(), request_headers={"x-key": "hidden"}, response_body=b"hidden"
    )
    report = AttemptReport(a_delivery(), attempt, DeliveryState.DELIVERED, None, None, None)

    pipe.log.attempted([report])

    assert "hidden" not in pipe.read()


def test_what_a_receiver_or_a_library_said_is_recorded_and_not_logged(pipe: Pipe) -> None:
    """A redirect repeats the callback's URL, in nearly all cases: for many products that is the
    secret.
    """
    words = "HTTP 301: a redirect to new.example is not followed"
    attempt = msgspec.structs.replace(
        an_attempt(Outcome.HTTP_3XX, 301, error=words), raw_detail="https://new.example/?key=S3CR3T"
    )
    assert (
        attempt.full_error
        == "HTTP 301: a redirect to new.example is not followed (https://new.example/?key=S3CR3T)"
    )

    pipe.log.attempted(
        [AttemptReport(a_delivery(), attempt, DeliveryState.PENDING, None, None, 5.5)]
    )

    (line,) = pipe.lines()
    assert line["error"] == words
    assert "S3CR3T" not in str(line)


@pytest.mark.parametrize("text", ["a\nb", '"}', "\x1b[2J", "\ud800", "é\u2028"])
@pytest.mark.parametrize("pretty", [False, True])
def test_no_text_can_make_a_line_of_its_own(text: str, pretty: bool) -> None:
    """A backend chooses ids and an endpoint its errors: neither may forge what an operator reads."""
    pipe = Pipe(pretty=pretty)

    pipe.log.write(LogEvent.INTERNAL_ERROR, error=text)

    written = pipe.read()
    assert written.count("\n") == 1
    assert "\x1b[2J" not in written
    if not pretty:
        json.loads(written)


def test_any_value_can_be_logged(pipe: Pipe) -> None:
    """A line about an error must not raise another."""
    pipe.log.write(LogEvent.INTERNAL_ERROR, error=ValueError("x"), key=("a", "b"), number=2**80)

    line = pipe.lines()[0]
    assert (line["event"], line["level"]) == ("internal_error", "error")


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    """`ringback serve | head` goes on delivering."""
    pipe.hang_up(pipe.reader)

    pipe.log.write(LogEvent.STORE_AVAILABLE)

    wait_for("the loss to be counted", lambda: pipe.lost == 1)


def test_a_reader_that_stands_still_costs_lines_and_nothing_else(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal stopped with Ctrl-S must not stop deliveries, nor fill the memory."""
    monkeypatch.setattr(ringback.observability.log, "WAITING_BYTES", 200_000)

    for _ in range(1000):
        pipe.log.attempted([a_report()])

    assert 0 < pipe.lost < 1000
    assert len(pipe.lines()) + pipe.lost == 1000


def test_closing_writes_what_waits(pipe: Pipe) -> None:
    """The last attempts before a stop are the ones that are asked about."""
    for number in range(500):
        pipe.log.write(LogEvent.STORE_AVAILABLE, number=number)

    assert [line["number"] for line in pipe.lines()] == list(range(500))


def test_closing_does_not_wait_for_a_reader_that_stands_still(pipe: Pipe) -> None:
    """A stop has a limit."""
    for _ in range(1000):
        pipe.log.attempted([a_report()])

    began_s = time.monotonic()
    pipe.log.close(limit_s=0.05)

    assert time.monotonic() - began_s < 5


def test_warnings_of_libraries_become_lines(pipe: Pipe) -> None:
    """pika says there why a connection was lost."""
    handler = Libraries(pipe.log)
    record = logging.LogRecord(
        "pika.connection", logging.WARNING, __file__, 1, "lost %s", ("it",), None
    )

    handler.emit(record)

    line = pipe.lines()[0]
    assert (line["event"], line["level"]) == ("library_warning", "warning")
    assert (line["library"], line["message"]) == ("pika.connection", "lost it")


def test_a_terminal_gets_text_for_people(tmp_path: Path) -> None:
    """The newcomer reads it as it scrolls by."""
    pipe = Pipe(pretty=True)

    pipe.log.attempted([a_report(Outcome.TIMEOUT, "no answer")])

    written = pipe.read()
    assert "attempt" in written
    assert "no answer" in written
    assert "None" not in written


def test_at_a_terminal_how_it_ended_comes_first() -> None:
    """A line is longer than the terminal is wide, and what went wrong must not stand beyond its
    edge.
    """
    pipe = Pipe(pretty=True)

    pipe.log.attempted([a_report(Outcome.HTTP_5XX, "HTTP 500")])
    pipe.log.write(LogEvent.BROKER_DISCONNECTED, part="consumer", address="127.0.0.1:5672")

    attempted, lost = (re.sub("\x1b\\[[0-9;]*m", "", line) for line in pipe.read().splitlines())
    assert re.findall(r"(\w+)=", attempted)[:4] == ["outcome", "status_code", "error", "event_id"]
    assert re.findall(r"(\w+)=", lost) == ["part", "address"]


def test_a_parent_whose_output_no_one_reads_goes_on() -> None:
    """It would replace no worker any more, and not even stop."""
    read_end, write_end = os.pipe()
    log = AtOnce(write_end, pretty=False)
    try:
        for number in range(10_000):  # a pipe takes 64 KiB
            log.log(LogEvent.WORKER_ENDED, worker=f"worker-{number}")
        os.set_blocking(read_end, False)
        lines = os.read(read_end, 1_000_000).splitlines()
    finally:
        os.close(read_end)
        os.close(write_end)

    assert 100 < len(lines) < 10_000
    assert json.loads(lines[0])["worker"] == "worker-0"
