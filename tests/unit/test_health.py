"""What a dispatcher answers to probes and scrapers, over a real socket."""

import http.client
import json
from collections.abc import Iterator

import pytest

from ringback.processes.health_app import HealthApp
from ringback.processes.web import CannotListen, WebServer
from ringback.setting_values import ListenAddress
from tests.kit.waiting import free_port


class Place:
    """A served `HealthApp` whose missing things a test can set."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self.address = ListenAddress("127.0.0.1", free_port())
        self.server = WebServer(
            HealthApp(lambda: self.missing, lambda: (b"ringback_x 1\n", "text/plain")),
            self.address,
            threads=2,
        )
        self.server.start()

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
    made.server.stop()


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


# cheroot leaves the socket that it could not bind to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore:.*unclosed.*:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_taken_port_is_reported_with_the_setting_that_moves_it(place: Place) -> None:
    """Two dispatchers on one host meet this first."""
    with pytest.raises(CannotListen, match="RINGBACK_METRICS_LISTEN"):
        WebServer(HealthApp(dict, lambda: (b"", "")), place.address, "RINGBACK_METRICS_LISTEN")
