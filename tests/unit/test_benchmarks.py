"""The arithmetic of the benchmarks: a wrong sum here would make every figure a lie. The timed runs
are not tests.
"""

import re
from typing import Any

import pytest

from benchmarks import events
from benchmarks.comparison import Comparison, Figures, Row, Target, compare
from benchmarks.load import complete
from benchmarks.pipelines import Pipeline
from benchmarks.receiver import Tally
from schemas.events.events import parse_event


class Fixed:
    """A pipeline of which only the name is asked."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_a_target_of_the_ratio_looks_at_the_floor_of_the_same_run() -> None:
    """A slow machine must not fail Ringback, nor a fast one pass it."""
    target = Target(0.55, at_least=True, of_ratio=True)

    assert Row("drain", "events/s", figure=60, floor=100, target=target).met is True
    assert Row("drain", "events/s", figure=50, floor=100, target=target).met is False
    assert Row("drain", "events/s", figure=50, target=target).met is False


def test_a_target_of_the_figure_does_not_look_at_the_floor() -> None:
    """Milliseconds that a caller waits are too many however long the floor takes."""
    target = Target(50, at_least=False)

    assert Row("api", "answer p99, ms", figure=49, floor=1, target=target).met is True
    assert Row("api", "answer p99, ms", figure=51, floor=100, target=target).met is False
    assert Row("api", "answer p50, ms", figure=51).met is None


def test_rounds_alternate_and_rows_show_medians() -> None:
    """One round that something else disturbed must not decide."""
    figures = iter([100.0, 50.0, 110.0, 5.0, 90.0, 60.0])
    asked = []

    def measure(pipeline: Pipeline) -> Figures:
        asked.append(pipeline.name)
        return {"events/s": next(figures)}

    targets: Any = [Fixed("floor"), Fixed("ringback")]  # only their names are used
    comparison = compare("drain", targets, measure, rounds=3)
    (row,) = comparison.rows({})

    assert asked == ["floor", "ringback"] * 3
    assert (row.floor, row.figure, row.ratio) == (100, 50, 0.5)


def test_what_only_ringback_has_is_shown_without_a_floor() -> None:
    """The fan-out has no floor."""
    comparison = Comparison("fan-out", {"ringback": [{"deliveries/s": 4000.0}]})

    (row,) = comparison.rows({"deliveries/s": Target(4500, at_least=True)})

    assert (row.floor, row.ratio, row.met) == (None, None, False)


def test_the_receiver_counts_an_event_once_per_callback() -> None:
    """A duplicate that counted would hide an event that is missing."""
    tally = Tally()

    for path in (b"/hook/0", b"/hook/1", b"/hook/0"):
        tally.add(path, events.posted(7, 0.0))

    stats = tally.stats()
    assert (stats.count, stats.duplicates) == (2, 1)
    assert stats.first_s <= stats.last_s
    assert stats.p50_ms > 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\no", False),
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n", False),
        (b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", False),
        (b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_the_load_generator_waits_for_the_whole_answer(answer: bytes, expected: bool) -> None:
    """Half an answer that counted would make the API look faster than it is."""
    assert complete(answer) is expected


def test_the_events_are_what_the_contract_takes_and_about_600_bytes() -> None:
    """Figures of refused or tiny events would compare with nothing."""
    published = events.published("evt_1", 1, 1_795_436_732.25)

    assert parse_event(published, id_required=True).id == "evt_1"
    assert parse_event(events.posted(1, 1_795_436_732.25)).facts.conversation_id == "c1"
    assert 550 <= len(published) <= 650
    assert re.search(rb'"bench_sent":1795436732.250000', published)
