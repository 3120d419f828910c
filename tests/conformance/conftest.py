"""Stores of the conformance tests that are more than a database: shared by several dispatchers, or with recoveries in it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from store.database import Database
from tests.conftest import lay_tables
from tests.kit.postgres import Postgres
from tests.kit.recovering import House


@pytest.fixture
def shared(postgres: Postgres) -> Iterator[Database]:
    """A database that several dispatchers write to at once: on PostgreSQL alone."""
    made = Database(postgres.fresh_database())
    lay_tables(made)
    yield made
    made.close()


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """On a running loop, as a recoverer is built on one."""
    made = House(database)
    yield made
    made.directory.close()
