"""SQLite's writers share commits: each stands by itself,
and each learns the outcome of its work.
"""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from schemas.errors import StoreUnavailable
from store.engine.database import Database
from store.engine.group_commit import GROUP_MAX
from tests.kit.waiting import wait_for

_TABLE = sa.Table("written", sa.MetaData(), sa.Column("id", sa.Text, primary_key=True))
_LIMIT_S = 20


class Mistake(Exception):
    """What the body of a transaction raises."""


class Writers:
    """Threads that write one row each to one database, and how often that was committed."""

    def __init__(self, database: Database):
        self.database, self.commits = database, 0
        self._threads = ThreadPoolExecutor(8)
        event.listen(database.engine, "commit", self._count)

    def start(self, name: str, meanwhile: Callable[[], object] = bool) -> Future[None]:
        """Write a row; `meanwhile` runs inside the transaction, after the insert."""
        return self._threads.submit(self.write, name, meanwhile)

    def write(self, name: str, meanwhile: Callable[[], object] = bool) -> None:
        with self.database.write() as connection:
            connection.execute(sa.insert(_TABLE).values(id=name))
            meanwhile()

    def together(
        self, *names: str, fate: Callable[[str], object] = bool
    ) -> dict[str, BaseException | None]:
        """The first waits, inside its transaction, until all others stand in line. What became of
        each.
        """
        inside = threading.Event()

        def wait_inside() -> None:
            inside.set()
            self._wait_for_line(len(names) - 1)
            fate(names[0])

        futures = {names[0]: self.start(names[0], wait_inside)}
        assert inside.wait(_LIMIT_S)
        for number, name in enumerate(names[1:], 1):
            futures[name] = self.start(name, partial(fate, name))
            self._wait_for_line(number)
        return {name: future.exception(_LIMIT_S) for name, future in futures.items()}

    def _wait_for_line(self, length: int) -> None:
        wait_for(f"{length} in line", lambda: self.in_line == length)

    @property
    def in_line(self) -> int:
        assert self.database._group_commit
        return self.database._group_commit._waiting

    def rows(self) -> set[str]:
        with self.database.read() as connection:
            return set(connection.scalars(sa.select(_TABLE.c.id)))

    def close(self) -> None:
        self._threads.shutdown()
        self.database.close()

    def _count(self, _connection: sa.Connection) -> None:
        self.commits += 1


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    database = Database(f"sqlite:///{tmp_path}/ringback.db")
    _TABLE.create(database.engine)
    made = Writers(database)
    made.commits = 0
    yield made
    made.close()


def mistaken(*names: str) -> Callable[[str], None]:
    """The fate of these: a mistake."""

    def fate(name: str) -> None:
        if name in names:
            raise Mistake(name)

    return fate


def test_threads_that_meet_share_a_commit(writers: Writers) -> None:
    """A wait for the disk each would be most of what a small transaction costs."""
    ended = writers.together("a", "b", "c", "d")

    assert set(ended.values()) == {None}
    assert writers.rows() == {"a", "b", "c", "d"}
    assert writers.commits == 1


def test_a_group_has_its_limit(writers: Writers) -> None:
    """The first of them must not wait for all others."""
    names = [str(number) for number in range(GROUP_MAX + 2)]

    writers.together(*names)

    assert writers.rows() == set(names)
    assert writers.commits == 2


def test_one_that_joins_and_raises_undoes_only_its_own(writers: Writers) -> None:
    """Each is a transaction by itself, as far as it can see."""
    ended = writers.together("a", "b", "c", fate=mistaken("b"))

    assert isinstance(ended["b"], Mistake)
    assert (ended["a"], ended["c"]) == (None, None)
    assert writers.rows() == {"a", "c"}


def test_the_first_that_raises_does_not_hurt_those_in_line(writers: Writers) -> None:
    """They have not begun."""
    ended = writers.together("a", "b", "c", fate=mistaken("a"))

    assert isinstance(ended["a"], Mistake)
    assert (ended["b"], ended["c"]) == (None, None)
    assert writers.rows() == {"b", "c"}


@pytest.mark.parametrize(
    "failure",
    [
        sa.exc.OperationalError("COMMIT", {}, Exception("disk I/O error")),
        MemoryError(),
        RuntimeError("?"),
    ],
)
def test_a_failed_commit_is_reported_to_every_member(writers: Writers, failure: Exception) -> None:
    """202 means durable: none of them may believe that it was written."""

    def fail(_connection: sa.Connection) -> None:
        raise failure

    event.listen(writers.database.engine, "commit", fail)
    ended = writers.together("a", "b", "c")
    event.remove(writers.database.engine, "commit", fail)

    assert {type(error) for error in ended.values()} == {StoreUnavailable}
    assert writers.rows() == set()
    writers.write("later")
    assert writers.rows() == {"later"}


@pytest.mark.parametrize("victim", ["a", "b"])
def test_a_transaction_that_sqlite_gave_up_is_reported_to_every_member(
    writers: Writers, victim: str
) -> None:
    """After some errors SQLite undoes all by itself, and a commit of nothing would succeed."""

    def give_up(name: str) -> None:
        if name == victim:
            with pytest.raises(
                sa.exc.IntegrityError
            ):  # caught inside: the transaction seems to go on
                the_connection(writers).execute(
                    sa.text("INSERT OR ROLLBACK INTO written VALUES ('there')")
                )

    writers.write("there")
    ended = writers.together("a", "b", "c", fate=give_up)

    confirmed = {name for name, error in ended.items() if error is None}
    assert isinstance(ended[victim], StoreUnavailable)
    assert writers.rows() == confirmed | {"there"}


def test_a_full_disk_costs_only_who_meets_it(writers: Writers) -> None:
    """A statement that found no room is undone, and the others' rows are there, or they got an
    error.
    """

    def fill(name: str) -> None:
        if name == "b":
            the_connection(writers).execute(sa.insert(_TABLE).values(id="x" * 1_000_000))

    with writers.database.write() as connection:
        pages = connection.scalar(sa.text("PRAGMA page_count"))
        connection.execute(sa.text(f"PRAGMA max_page_count = {pages + 8}"))
    ended = writers.together("a", "b", "c", fate=fill)

    assert isinstance(ended["b"], StoreUnavailable)
    assert writers.rows() == {name for name, error in ended.items() if error is None}


def the_connection(writers: Writers) -> sa.Connection:
    """The one that all of them write on; its turn is the caller's."""
    assert writers.database._group_commit
    assert writers.database._group_commit._connection
    return writers.database._group_commit._connection


def test_one_that_cannot_join_leaves_no_writer_waiting(writers: Writers) -> None:
    """The group was left open for it: it has to end it."""

    def fail(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SAVEPOINT"):
            raise sa.exc.OperationalError(statement, {}, Exception("disk I/O error"))

    event.listen(writers.database.engine, "before_cursor_execute", fail)
    ended = writers.together("a", "b")

    assert {type(error) for error in ended.values()} == {StoreUnavailable}
    assert writers.rows() == set()


def test_a_connection_that_cannot_be_given_back_leaves_no_writer_waiting(writers: Writers) -> None:
    """Undoing fails too, and the database must not stay locked by what is left of it."""

    def fail(_connection: sa.Connection) -> None:
        raise RuntimeError("a rollback that fails")

    for name in ("commit", "rollback"):
        event.listen(writers.database.engine, name, fail)
    ended = writers.together("a", "b", "c")
    for name in ("commit", "rollback"):
        event.remove(writers.database.engine, name, fail)

    assert {type(error) for error in ended.values()} == {StoreUnavailable}
    writers.write("later")
    assert writers.rows() == {"later"}


def test_a_writer_that_waits_too_long_gets_an_error(tmp_path: Path) -> None:
    """Every call has its limit; the group goes on without it."""
    database = Database(f"sqlite:///{tmp_path}/ringback.db", timeout_s=0.1)
    _TABLE.create(database.engine)
    writers = Writers(database)

    def wait_for_another() -> None:
        with pytest.raises(StoreUnavailable, match="another writer"):
            writers.start("late").result(_LIMIT_S)

    writers.start("first", wait_for_another).result(_LIMIT_S)

    assert writers.rows() == {"first"}
    writers.close()


def test_closing_ends_what_was_left_open(writers: Writers) -> None:
    """The turn was left to the thread that closes."""
    inside = threading.Event()

    def wait_for_the_end() -> None:
        inside.set()
        wait_for("a thread closes", lambda: writers.in_line == 1)

    last = writers.start("last", wait_for_the_end)
    assert inside.wait(_LIMIT_S)
    writers.database.close()

    last.result(_LIMIT_S)
    assert writers.rows() == {"last"}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_exactly_the_confirmed_rows_are_there(writers: Writers, seed: int) -> None:
    """The law of it, under fire: bodies, statements and commits fail at random in eight threads."""
    chance = random.Random(seed)

    def unlucky(percent: int) -> bool:
        return chance.random() * 100 < percent

    def fail_sometimes(*_: object) -> None:
        if unlucky(4):
            raise RuntimeError("a commit that fails")

    def statement_fails(
        _connection: object, _cursor: object, statement: str, *_rest: object
    ) -> None:
        if unlucky(3):
            raise sa.exc.OperationalError(statement, {}, Exception("disk I/O error"))

    def stumble(name: str) -> None:
        if unlucky(15):
            raise Mistake(name)

    def write_some(thread: int) -> set[str]:
        written = set()
        for number in range(40):
            name = f"{thread}-{number}"
            try:
                writers.write(name, partial(stumble, name))
            except (StoreUnavailable, Mistake):
                continue
            written.add(name)
        return written

    engine = writers.database.engine
    event.listen(engine, "commit", fail_sometimes)
    event.listen(engine, "before_cursor_execute", statement_fails)
    with ThreadPoolExecutor(8) as threads:
        confirmed = set().union(*threads.map(write_some, range(8), timeout=60))
    event.remove(engine, "commit", fail_sometimes)
    event.remove(engine, "before_cursor_execute", statement_fails)

    assert confirmed
    assert writers.rows() == confirmed
