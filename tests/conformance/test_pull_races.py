"""Pulling while others claim: every event comes exactly once, however claims, commits and looks
fall together.
"""

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.times import UnixMs
from store.engine.database import Database
from store.events import claims, pull
from store.tables import events
from tests.kit.making import a_claim
from tests.kit.postgres import Postgres
from tests.kit.pull import Puller, claim, lay
from tests.kit.tables import lay_tables


def test_a_claim_that_commits_late_is_not_passed_over(shared: Database, no_margin: None) -> None:
    """Two dispatchers claim at once: what was taken first becomes visible last, and the puller was
    there between.
    """
    puller = Puller(shared)
    with shared.write() as slow:
        claim(slow, "slow")
        with shared.write() as quick:
            claim(quick, "quick")
        for _ in range(3):
            puller.catch_up()
        assert puller.seen == [], "what was taken after the slow one began must wait for it"

    assert puller.wait_for(2) == ["slow", "quick"]


def test_a_transaction_that_has_begun_and_not_claimed_yet_holds_back_nothing_older(
    shared: Database, no_margin: None
) -> None:
    """Some process always has one open: pulling must go on all the same."""
    with shared.write() as before:
        claim(before, "before")
    Puller(shared).wait_for(1)  # its millisecond is over
    with shared.write() as opened:
        opened.execute(sa.text("SELECT 1"))
        assert Puller(shared).wait_for(1) == ["before"]


def test_a_claim_that_is_undone_holds_back_nothing(shared: Database, no_margin: None) -> None:
    """It leaves nothing behind."""
    puller = Puller(shared)
    with contextlib.suppress(ZeroDivisionError), shared.write() as broken:
        claim(broken, "broken")
        with shared.write() as good:
            claim(good, "good")
        puller.catch_up()
        raise ZeroDivisionError

    assert puller.wait_for(1) == ["good"]


def test_the_order_goes_by_the_clock_of_the_server(shared: Database, no_margin: None) -> None:
    """A dispatcher's own idea of the time may be old: it was asleep between asking and claiming, an
    hour or a year.
    """
    puller = Puller(shared)
    with shared.write() as connection:
        claim(connection, "first")
    puller.wait_for(1)
    with shared.write() as connection:
        claims.claim(connection, [a_claim("by_an_old_clock")], UnixMs(1))

    assert puller.wait_for(2) == ["first", "by_an_old_clock"]


def test_a_page_ends_a_margin_behind_the_clock(
    shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most that a standby's clock may be behind that of the server it replaces."""
    monkeypatch.setattr(pull, "MARGIN_MS", 60_000)
    with shared.write() as connection:
        claim(connection, "recent")
    assert Puller(shared).catch_up() == []

    with shared.write() as connection:
        connection.execute(
            sa.update(events).values(claimed_at=events.c.claimed_at - pull.MARGIN_MS)
        )

    assert Puller(shared).wait_for(1) == ["recent"]


def test_where_transactions_are_hidden_pulling_is_late_and_right(
    postgres: Postgres, no_margin: None
) -> None:
    """Without `track_activities`, or among several roles, it cannot be seen how long a claim has
    been open.
    """
    url = postgres.fresh_database()
    hiding = Database(url)
    lay_tables(hiding)
    with hiding.write() as connection:
        connection.execute(
            sa.text(f"ALTER DATABASE {hiding.url.database} SET track_activities = off")
        )
    hiding.close()
    with contextlib.closing(Database(url)) as database:
        lay(database, (1, "long_ago"))
        with database.write() as connection:
            claim(connection, "just_now")

        assert Puller(database).catch_up() == ["long_ago"]


class Dispatchers:
    """Some that claim at once, each a batch at a time."""

    def __init__(self, database: Database):
        self.database = database
        self._open: dict[int, tuple[contextlib.ExitStack, list[str]]] = {}
        self._ids: Iterator[str] = (f"e{n * 7919 % 1000:03}" for n in range(1000))  # in no order
        self.committed: list[str] = []

    def step(self, number: int, *, undo: bool) -> None:
        """Begin and claim; the next time, commit or undo it."""
        if number not in self._open:
            stack, batch = contextlib.ExitStack(), [next(self._ids), next(self._ids)]
            claim(stack.enter_context(self.database.write()), *batch)
            self._open[number] = stack, batch
            return
        stack, batch = self._open.pop(number)
        if undo:
            with contextlib.suppress(ZeroDivisionError), stack:
                raise ZeroDivisionError
        else:
            stack.close()
            self.committed += batch

    def end(self) -> None:
        for number in list(self._open):
            self.step(number, undo=False)


_LOOK = "look"
_STEPS = st.lists(
    st.one_of(st.just(_LOOK), st.tuples(st.integers(0, 2), st.sampled_from([False, False, True]))),
    max_size=25,
)


@given(steps=_STEPS)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_interleaving_everything_is_pulled_once(
    database: Database, no_margin: None, steps: list[str | tuple[int, bool]]
) -> None:
    """Three that claim, commit and undo in any order, and one who looks in between. SQLite has one
    writer at a time.
    """
    with database.write() as connection:
        connection.execute(sa.delete(events))
    dispatchers, puller = Dispatchers(database), Puller(database)

    for step in steps:
        if isinstance(step, str):
            puller.look()
        else:
            dispatchers.step(0 if database.dialect == "sqlite" else step[0], undo=step[1])
    dispatchers.end()

    puller.wait_for(len(dispatchers.committed))
    assert sorted(puller.seen) == sorted(dispatchers.committed)


def test_on_sqlite_every_claim_is_later_than_all_before(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Within one millisecond, and when the machine's clock was set back before a restart."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('x')}/ringback.db")
    lay_tables(database)
    puller = Puller(database)
    for event_id, now in (("z", 5_000), ("y", 5_000), ("x", 10), ("w", 5_001)):
        with database.write() as connection:
            claims.claim(connection, [a_claim(event_id)], UnixMs(now))
        puller.catch_up()

    assert puller.seen == ["z", "y", "x", "w"]
    database.close()
