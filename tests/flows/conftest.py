"""Flows: real processes, real receivers, and the event loop that production uses."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme
import uvloop

from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, whose readers and writers are what drives libcurl in production."""
    return {"uvloop": uvloop.new_event_loop}


class Starting:
    """Makes one Ringback, when the test knows its settings."""

    def __init__(self, request: pytest.FixtureRequest, *, on_services: bool):
        self._request, self.on_services = request, on_services
        self._made: Ringback | None = None

    def __call__(self, dispatchers: int = 1, workers: int = 1, **settings: str) -> Ringback:
        services = {}
        if self.on_services:
            broker, store = (
                self._request.getfixturevalue("rabbit"),
                self._request.getfixturevalue("postgres"),
            )
            services = {"broker_url": broker.url, "database_url": store.fresh_database()}
        self._made = Ringback(**services, dispatchers=dispatchers, workers=workers, **settings)
        return self._made

    def close(self) -> None:
        if self._made is not None:
            self._made.close()


@pytest.fixture(params=["embedded", "services"])
def start(request: pytest.FixtureRequest) -> Iterator[Starting]:
    """Starts Ringback: in one process, and on RabbitMQ + PostgreSQL, in turn. The same test runs on
    both.
    """
    starting = Starting(request, on_services=request.param == "services")
    yield starting
    starting.close()


@pytest.fixture
def start_embedded(request: pytest.FixtureRequest) -> Iterator[Starting]:
    starting = Starting(request, on_services=False)
    yield starting
    starting.close()


@pytest.fixture
def start_on_services(request: pytest.FixtureRequest) -> Iterator[Starting]:
    starting = Starting(request, on_services=True)
    yield starting
    starting.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that no system knows: a client that is to trust it needs `ca_file`."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")
