"""Installations that the pages are followed on."""

from collections.abc import Iterator

import pytest

from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.ringback import Ringback


@pytest.fixture
def embedded() -> Iterator[Ringback]:
    made = Ringback()
    yield made
    made.close()


@pytest.fixture
def on_services(rabbit: Rabbit, postgres: Postgres) -> Iterator[Ringback]:
    made = Ringback(rabbit.url, postgres.fresh_database())
    yield made
    made.close()
