"""What a dispatcher answers to probes and scrapers, over a real socket."""

import http.client
import json
from collections.abc import Iterator

import pytest

from ringback.processes.health_front import HealthFront
from ringback.setting_values import ListenAddress
from schemas.observer import NullObserver
from tests.kit.loop_thread import LoopThread
from tests.kit.waiting import free_port
from web.server.server import HttpServer
from web.server.sockets import CannotListen, listen


class Place:
    """A served `HealthFront` whose missing things a test can set."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self.address = ListenAddress("127.0.0.1", free_port())
        self.loop = LoopThread()
        self.front = HealthFront(
            lambda: self.missing, lambda: (b"ringback_x 1\n", "text/plain"), NullObserver()
        )
        self.server = HttpServer(self.front)
        self.loop.call(self.server.start(listen(*self.address, "RINGBACK_METRICS_LISTEN")))

    def close(self) -> None:
        self.loop.call(self.server.stop())
        self.front.close()
        self.loop.close()

    def get(self, path: str, method: str = "GET") -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, response.headers["content-type"], body


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


def test_a_process_that_lacks_something_is_alive_but_not_ready_and_says_what_it_lacks(
    place: Place,
) -> None:
    """Restarting it would not help; sending it work would not either."""
    place.missing = {"database": "it does not answer", "broker": "none is connected"}

    status, content_type, body = place.get("/readyz")

    assert place.get("/healthz")[0] == 200
    assert status == 503
    assert content_type == "application/problem+json"
    assert json.loads(body)["missing"] == place.missing
    assert json.loads(body)["detail"] == "not ready: database, broker"


def test_a_process_that_lacks_nothing_is_ready(place: Place) -> None:
    """Load balancers and the checks of a deployment wait for this."""
    assert place.get("/readyz")[0] == 200


def test_metrics_are_passed_on_with_their_content_type(place: Place) -> None:
    """Prometheus refuses a scrape whose type it does not know."""
    assert place.get("/metrics") == (200, "text/plain", b"ringback_x 1\n")


def test_anything_else_is_refused_as_a_problem(place: Place) -> None:
    """An address mistyped in a scrape configuration is found at once."""
    assert place.get("/metric")[0] == 404
    assert place.get("/metrics", "POST")[0] == 405


def test_a_taken_port_is_reported_with_the_setting_that_moves_it(place: Place) -> None:
    """Two dispatchers on one host meet this first."""
    with pytest.raises(CannotListen, match="RINGBACK_METRICS_LISTEN"):
        listen(*place.address, "RINGBACK_METRICS_LISTEN")
