"""Few rows for many refused requests: never more than the bound, and none goes uncounted."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import RequestId
from schemas.request_log import LoggedRequest
from store.request_log import refusals
from store.request_log.refusals import STRICT_MS, WINDOW_MS, WINDOW_ROWS, Refusals
from tests.kit.requests import a_request


def refused(at: int, reason: str | None, token_id: str = "tok_1") -> LoggedRequest:
    return a_request(token_id=token_id, at=at, status=401, allowed=False, reason=reason)


def no_request_is_lost(rows: int) -> None:
    pytest.fail(f"{rows} rows are lost")


class Written:
    """What a log that asks for grown rows at these times holds."""

    def __init__(self) -> None:
        self.refusals, self.rows = Refusals(no_request_is_lost), dict[RequestId, LoggedRequest]()

    def add(self, entry: LoggedRequest) -> RequestId:
        counted_on = self.refusals.row_for(entry, entry.at / 1000)
        if counted_on == entry.id:
            self.rows[entry.id] = entry
        return counted_on

    def flush(self, now: int) -> None:
        self.rows |= {row.id: row for row in self.refusals.grown(now / 1000)}


@given(st.lists(st.tuples(st.integers(0, 3_000), st.booleans()), max_size=80))
def test_every_request_is_counted_once_and_rows_keep_to_the_bound(
    steps: list[tuple[int, bool]],
) -> None:
    """However they are spread, and whenever the rows are written."""
    log, now = Written(), 0
    for pause_ms, flush in steps:
        now += pause_ms
        log.add(refused(now, "revoked"))
        if flush:
            log.flush(now)
    log.flush(now)

    assert sum(row.count for row in log.rows.values()) == len(steps)
    times = sorted(row.at for row in log.rows.values())
    assert all(after - before >= STRICT_MS for before, after in pairwise(times))


@pytest.mark.parametrize(
    "reason", ["scheduled", "suspended", "expired", "revoked", "too-many-requests"]
)
def test_a_minute_of_calls_with_a_token_that_is_not_active_makes_a_row_a_second(
    reason: str,
) -> None:
    """300 a second: the figure that operators are promised."""
    log = Written()
    for number in range(300 * 60):
        now = number * 1000 // 300
        log.add(refused(now, reason))
        if number % 150 == 0:
            log.flush(now)
    log.flush(60_000)

    assert len(log.rows) <= 60
    assert sum(row.count for row in log.rows.values()) == 300 * 60


@pytest.mark.parametrize("reason", [None, "permission-missing"])
def test_of_an_active_token_some_rows_come_at_once_and_then_one_a_second(
    reason: str | None,
) -> None:
    """A developer who tries things out finds each mistake. A flood is a flood."""
    log = Written()
    for number in range(100):
        log.add(refused(number, reason))
    log.flush(100)

    assert [row.count for row in log.rows.values()] == [1] * (WINDOW_ROWS - 1) + [
        100 - WINDOW_ROWS + 1
    ]
    log.add(refused(WINDOW_MS, reason))
    assert len(log.rows) == WINDOW_ROWS + 1
    assert WINDOW_MS // WINDOW_ROWS == STRICT_MS


def test_each_token_has_rows_of_its_own() -> None:
    """One supplier's mistake hides nothing of another's."""
    log = Written()
    for token_id in ("tok_1", "tok_2", "tok_1"):
        log.add(refused(0, "revoked", token_id))
    log.flush(0)

    assert [(row.token_id, row.count) for row in log.rows.values()] == [("tok_1", 2), ("tok_2", 1)]


def test_a_request_learns_the_row_on_which_it_counts() -> None:
    """What becomes of it is reported by that id: another id would be a row that no one sees."""
    log = Written()

    first, second = log.add(refused(0, "revoked")), log.add(refused(1, "revoked"))

    assert first == second


@pytest.mark.parametrize("leap_ms", [-3_600_000, 3_600_000])
def test_a_clock_that_is_set_starts_a_new_row(leap_ms: int) -> None:
    """Not one that stands for all that comes until the old time is reached again."""
    log, start = Written(), 10_000_000
    log.add(refused(start, "revoked"))

    log.add(refused(start + leap_ms, "revoked"))

    assert len(log.rows) == 2


def test_the_clock_of_the_requests_may_be_another_than_that_of_the_log() -> None:
    """They follow the store's clock, and are written by this machine's: a difference must not make
    more rows.
    """
    refusals, rows = Refusals(no_request_is_lost), set[RequestId]()
    for number in range(20):
        rows.add(refusals.row_for(refused(10**12 + number, "revoked"), number / 1000))
        refusals.grown(number / 1000)

    assert len(rows) == 1


def test_while_no_request_comes_what_has_grown_is_bounded_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log is full, as the store is away for hours: a row a second of each refused token was
    more and more memory.
    """
    monkeypatch.setattr(refusals, "MOST_LEFT", 3)
    dropped: list[int] = []
    kept = Refusals(dropped.append)
    for second in range(10):
        for _ in range(2):
            kept.row_for(refused(second * STRICT_MS, "revoked"), second)

    assert len(kept.grown(10)) == 3 + 1, "those that wait, and the last one"
    assert dropped == [1] * 6


def test_nothing_is_remembered_of_a_token_that_is_quiet() -> None:
    """Memory depends on the tokens that are refused at the moment."""
    log = Written()
    log.add(refused(0, "revoked"))
    log.add(msgspec.structs.replace(refused(0, None), token_id="tok_2"))

    log.flush(WINDOW_MS)

    assert log.refusals._windows == {}
