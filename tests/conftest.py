"""Fixtures of the whole suite: private RabbitMQ and PostgreSQL nodes, and databases with our
tables.

Nodes start when a test first asks for one, once per worker process. A service that is not installed
fails the tests that need it: skipping them would look like passing.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from store.engine.database import Database
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.tables import lay_tables

settings.register_profile("ringback", deadline=None)  # no test depends on speed
settings.load_profile("ringback")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what uses a browser last: Playwright leaves its event loop running in the process, in
    which no other test could start one of its own.
    """
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[Rabbit]:
    """The worker's node. Ask for `rabbit`, which is up and empty."""
    node = Rabbit()
    yield node
    node.close()


@pytest.fixture
def rabbit(rabbit_node: Rabbit) -> Rabbit:
    """A node that is up and holds nothing of ours, whatever the test before did to it."""
    return _cleared(rabbit_node)


@pytest.fixture(scope="module")
def rabbit_for_all(rabbit_node: Rabbit) -> Rabbit:
    """The same for all tests of a module together. None of them may ask for `rabbit`, which empties
    the node.
    """
    return _cleared(rabbit_node)


@pytest.fixture(scope="session")
def postgres_node() -> Iterator[Postgres]:
    """The worker's node. Ask for `postgres`, which is up."""
    node = Postgres()
    yield node
    node.close()


@pytest.fixture
def postgres(postgres_node: Postgres) -> Postgres:
    """A node that is up, whatever the test before did to it."""
    if not postgres_node.running:
        postgres_node.start()
    return postgres_node


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of this test's own, empty: on SQLite and on PostgreSQL in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ringback.db"
    node: Postgres = request.getfixturevalue("postgres")
    return node.fresh_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with our tables and the row of the directory's version."""
    made = Database(database_url)
    lay_tables(made)
    yield made
    made.close()


def _cleared(node: Rabbit) -> Rabbit:
    node.thaw()
    if not node.running:
        node.start()
    node.clear()
    return node
