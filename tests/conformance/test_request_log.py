"""The request log's writer, on both databases: nothing waits for it, a stop loses nothing, a store
that is away only what is too much.
"""

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from schemas.errors import StoreUnavailable
from schemas.ids import new_request_id
from schemas.observer import NullObserver
from schemas.request_log import Completion
from schemas.times import UnixMs, now_ms
from store.engine.database import Database
from store.request_log import writer
from store.request_log.writer import RequestLog, size_of
from store.tables import requests
from tests.kit.requests import a_request
from tests.kit.waiting import wait_for


def rows(database: Database) -> list[tuple[object, ...]]:
    with database.read() as connection:
        chosen = sa.select(
            requests.c.id, requests.c.token_id, requests.c.status, requests.c.duration_ms
        ).order_by(requests.c.id)
        return [tuple(row) for row in connection.execute(chosen)]


@pytest.fixture
def dropped() -> list[int]:
    return []


@pytest.fixture
def log(database: Database, dropped: list[int]) -> RequestLog:
    return RequestLog(database, dropped.append, NullObserver())


def test_rows_are_written_by_themselves(database: Database, log: RequestLog) -> None:
    """Within a second: that is what a crash may lose."""
    log.start()
    one = a_request()

    log.add(one)

    wait_for("the row", lambda: rows(database) == [(one.id, "tok_1", 200, 3)])
    log.close()


def test_a_stop_loses_nothing(database: Database, log: RequestLog) -> None:
    """However many have gathered."""
    log.start()
    added = [a_request() for _ in range(writer.BATCH + 10)]
    for one in added:
        log.add(one)

    log.close()

    assert [row[0] for row in rows(database)] == sorted(one.id for one in added)


@pytest.mark.parametrize("completion_first", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_a_completion_and_its_row_meet_in_either_order(
    database: Database, log: RequestLog, completion_first: bool, together: bool
) -> None:
    """They may come to two processes, and be written in any order."""
    own = new_request_id()
    entries = [a_request(own, status=None), Completion(own, UnixMs(2_000), 404, 17)]
    for entry in reversed(entries) if completion_first else entries:
        log.add(entry)
        if not together:
            log.flush()
    log.flush()

    assert rows(database) == [(own, "tok_1", 404, 17)]


def test_what_is_known_is_not_overwritten(database: Database, log: RequestLog) -> None:
    """A row of this API's own has its status: a platform that may report requests
    cannot change it.
    """
    own = new_request_id()
    log.add(a_request(own, status=200))
    log.flush()

    log.add(Completion(own, UnixMs(2_000), 500, 99))
    log.flush()

    assert rows(database) == [(own, "tok_1", 200, 3)]


def test_while_the_store_is_away_rows_are_kept(
    database: Database, log: RequestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written in their order when it is back."""
    first, second = a_request(), a_request()
    with monkeypatch.context() as away:
        away.setattr(writer, "_insert", _unavailable)
        log.add(first)
        log.flush()
        log.add(second)
    log.flush()

    assert [row[0] for row in rows(database)] == sorted([first.id, second.id])


def test_past_its_bound_rows_are_dropped_and_counted(
    database: Database, log: RequestLog, dropped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded while the store is away, and the gap in the log is no secret."""
    monkeypatch.setattr(writer, "MOST_WAITING_BYTES", 2 * size_of(a_request()))
    with monkeypatch.context() as away:
        away.setattr(writer, "_insert", _unavailable)
        for _ in range(5):
            log.add(a_request())
            log.flush()
    log.flush()

    assert len(rows(database)) == 2
    assert dropped == [1, 1, 1]
    log.add(a_request())
    log.flush()
    assert len(rows(database)) == 3, "what is written leaves room"


def test_the_bound_is_one_of_memory(
    log: RequestLog, dropped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters are of up to four bytes: a thousand of those in each path would take many times
    what it says.
    """
    monkeypatch.setattr(writer, "MOST_WAITING_BYTES", 8_000)
    monkeypatch.setattr(writer, "_insert", _unavailable)
    for _ in range(3):
        log.add(a_request(path="\U0001f600" * 1_024))
        log.flush()

    assert dropped == [1]


def test_what_comes_during_one_flush_is_bounded_too(
    log: RequestLog, dropped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is silent holds a flush for seconds."""
    monkeypatch.setattr(writer, "MOST_ADDED", 2)
    for _ in range(3):
        log.add(a_request())

    assert dropped == [1]


def test_what_is_left_at_a_stop_is_counted(
    log: RequestLog, dropped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away: the gap in the log is no secret."""
    monkeypatch.setattr(writer, "_insert", _unavailable)
    log.start()
    for _ in range(3):
        log.add(a_request())

    log.close()

    assert dropped == [3]


def test_a_row_that_is_refused_costs_only_itself(
    database: Database, log: RequestLog, dropped: list[int]
) -> None:
    """Wherever in its batch it is."""
    good = [a_request() for _ in range(20)]
    for one in (*good[:13], a_request(path="/\ud800"), *good[13:], a_request(path="/\ud800")):
        log.add(one)

    log.flush()

    assert [row[0] for row in rows(database)] == sorted(one.id for one in good)
    assert dropped == [1, 1]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_row_is_held_while_a_completion_waits(database: Database, log: RequestLog) -> None:
    """Two processes that held new rows, and waited for each other's to complete them, would wait
    for ever. On SQLite one writes at a time.
    """
    held, new = a_request(status=None), a_request()
    log.add(held)
    log.flush()
    log.add(new)
    log.add(Completion(held.id, UnixMs(2_000), 404, 17))
    flushing = threading.Thread(target=log.flush)

    with database.write() as other:
        other.execute(sa.select(requests.c.id).where(requests.c.id == held.id).with_for_update())
        flushing.start()
        wait_for("the new row", lambda: new.id in [row[0] for row in rows(database)])
    flushing.join()

    assert rows(database) == [(held.id, "tok_1", 404, 17), (new.id, "tok_1", 200, 3)]


def test_a_row_that_cannot_be_written_does_not_end_the_log(
    database: Database, log: RequestLog, dropped: list[int]
) -> None:
    """Half of a surrogate pair fits no encoding: a caller's mistake that let it in costs its row,
    and is counted.
    """
    log.start()
    log.add(a_request(path="/\ud800"))
    wait_for("the loss", lambda: dropped == [1])
    one = a_request()

    log.add(one)

    wait_for("the next row", lambda: [row[0] for row in rows(database)] == [one.id])
    log.close()


def test_a_row_that_grew_is_written_over_what_is_there(database: Database, log: RequestLog) -> None:
    """Refused requests share rows: the first is seen at once, and what it stands for soon after."""
    first = a_request(status=401, allowed=False, reason="revoked", at=now_ms())
    log.add_refused(first)
    log.flush()

    for _ in range(2):
        log.add_refused(a_request(status=401, allowed=False, reason="revoked", at=first.at))
    log.flush()

    with database.read() as connection:
        assert connection.execute(sa.select(requests.c.id, requests.c.stands_for)).all() == [
            (first.id, 3)
        ]


class Meanwhile(RequestLog):
    """Something happens once, as soon as a look at its bound finds that others may come in."""

    happens: Callable[[], object] | None = None

    def is_full(self) -> bool:
        if not self._refusing.locked():
            self.happen()
        return super().is_full()

    def happen(self) -> None:
        happens, self.happens = self.happens, None
        if happens:
            happens()


def counted(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(sa.select(requests.c.stands_for)))


def test_a_row_that_grew_while_a_flush_took_in_what_came_stays_so(
    database: Database, dropped: list[int]
) -> None:
    """It came when all before it was taken in: it is not written after what it grew to."""
    log = Meanwhile(database, dropped.append, NullObserver())
    log.happens = lambda: [
        log.add_refused(a_request(status=401, allowed=False, reason="revoked", at=7))
        for _ in range(2)
    ]

    log.flush()
    log.flush()

    assert counted(database) == [2]


def test_a_row_that_grew_before_it_was_added_stays_so(
    database: Database, dropped: list[int]
) -> None:
    """The second of two requests at the same time counts on the first,
    and a flush comes between.
    """
    log = Meanwhile(database, dropped.append, NullObserver())
    first, second = (a_request(status=401, allowed=False, reason="revoked", at=7) for _ in range(2))
    log.happens = lambda: (log.add_refused(second), log.flush())

    log.add_refused(first)
    log.happen()
    log.flush()

    assert counted(database) == [2]


def test_a_stop_while_the_log_is_full_counts_what_rows_do_not_tell(
    log: RequestLog, dropped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have grown, and are written no more."""
    monkeypatch.setattr(writer, "MOST_WAITING_BYTES", 1)
    monkeypatch.setattr(writer, "_insert", _unavailable)
    log.add_refused(a_request(status=401, allowed=False, reason="revoked", at=7))
    log.flush()
    log.add_refused(a_request(status=401, allowed=False, reason="revoked", at=7))

    log.close()

    assert dropped == [2]


def test_a_stop_loses_no_count(database: Database, log: RequestLog) -> None:
    """What the last row stands for is written with it."""
    log.start()
    for _ in range(5):
        log.add_refused(a_request(status=401, allowed=False, reason="revoked", at=7))

    log.close()

    with database.read() as connection:
        assert connection.execute(sa.select(requests.c.stands_for)).scalars().all() == [5]


def _unavailable(*_: object) -> None:
    raise StoreUnavailable("it is away")
