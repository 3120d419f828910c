"""Stores of the conformance tests that are more than a database: shared by several dispatchers,
with recoveries in it, with backups, followed by a directory, or behind an adapter of the exchange.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store.directory.directory import Directory
from store.engine.database import Database
from store.events import pull
from tests.kit.histories import VAULT, RestorableStore
from tests.kit.notes import Notes
from tests.kit.pipes import OutboxPipe, Pipe, RabbitPipe
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.recovering import House
from tests.kit.tables import lay_tables


@pytest.fixture
def shared(postgres: Postgres) -> Iterator[Database]:
    """A database that several dispatchers write to at once: on PostgreSQL alone."""
    made = Database(postgres.fresh_database())
    lay_tables(made)
    yield made
    made.close()


@pytest.fixture
def no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of these tests only goes forward: without it, a mistake about open transactions
    shows at once.
    """
    monkeypatch.setattr(pull, "MARGIN_MS", 0)


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """On a running loop, as a recoverer is built on one."""
    made = House(database)
    yield made
    made.directory.close()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def directory(database: Database, notes: Notes) -> Iterator[Directory]:
    """Not started: it reads the store when the test says so."""
    made = Directory(database, VAULT, notes)
    yield made
    made.close()


@pytest.fixture
def restorable(database: Database) -> RestorableStore:
    return RestorableStore(database)


@pytest.fixture(params=["rabbitmq", "outbox-sqlite", "outbox-postgresql"])
def pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pipe]:
    """One adapter with its service; the broker's needs a database only for the transactions of its
    port.
    """
    on_postgres = request.param == "outbox-postgresql"
    database = Database(
        request.getfixturevalue("postgres").fresh_database()
        if on_postgres
        else f"sqlite:///{tmp_path}/ringback.db"
    )
    lay_tables(database)
    made = (
        RabbitPipe(request.getfixturevalue("rabbit"), database)
        if request.param == "rabbitmq"
        else OutboxPipe(database)
    )
    yield made
    made.close()


@pytest.fixture
def rabbit_pipe(rabbit: Rabbit, tmp_path: Path) -> Iterator[RabbitPipe]:
    """The broker alone, and a database for the port's transactions."""
    database = Database(f"sqlite:///{tmp_path}/ringback.db")
    lay_tables(database)
    made = RabbitPipe(rabbit, database)
    yield made
    made.close()
