"""`ringback serve --demo`: everything there is to see, within seconds, and never next to other data."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import CallbackState
from schemas.deliveries.deliveries import DeliveryState
from schemas.tokens.tokens import TokenState
from store.engine.database import Database
from store.people.links import SignInLinks
from store.stats import gauges
from store.stats.latest import latest
from store.tables import deliveries
from tests.kit.command import Place
from tests.kit.waiting import free_port


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, LISTEN=f"127.0.0.1:{free_port()}")


class Running:
    """One demo, until `end`."""

    def __init__(self, place: Place):
        self.place, self.process = place, place.start("serve", "--demo")
        self.said = ""

    def until(self, text: str) -> str:
        """What it printed, up to the line that holds `text`."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return self.said
        raise AssertionError(self.said)

    def end(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    made = Database(f"sqlite:///{place.folder}/var/demo.db")
    yield made
    made.close()


def states_of(database: Database) -> set[str]:
    """The states of deliveries, with `held` as pending."""
    with database.read() as connection:
        return set(connection.scalars(sa.select(deliveries.c.state).distinct()))


def test_every_state_is_there_and_traffic_goes_on(place: Place, database: Database) -> None:
    """On the first screens, from the first minute; and the next start goes on with it."""
    running = Running(place)
    link = re.search(r"code=(\S+)", running.until("are made up."))
    assert link
    assert SignInLinks(database).peek(link[1], database.time()) is not None

    found = gauges.read(database)
    assert {state for state, count in found.tokens.items() if count} == set(TokenState)
    assert {CallbackState.DISABLED, CallbackState.FAILING, CallbackState.OFF} <= {
        state for state, count in found.callbacks.items() if count
    }
    assert states_of(database) == {
        state.value for state in DeliveryState if state is not DeliveryState.HELD
    }
    running.until('"outcome":"delivered"')
    with database.read() as connection:
        assert latest(connection).has_events
        before = connection.scalar(sa.text("SELECT count(*) FROM tokens"))
    assert running.end() == 0

    again = Running(place)
    again.until("are made up.")
    again.until('"outcome":"delivered"')
    assert again.end() == 0
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM tokens")) == before


def test_it_leaves_other_data_alone(place: Place) -> None:
    """One line, and nothing has changed: no delivery of someone's is sent by a demo."""
    place.set(DATABASE_URL="sqlite:///var/mine.db")
    assert place.call("migrate").status == 0
    assert place.call("token", "create", "mine").status == 0

    refused = place.call("serve", "--demo")

    assert refused.status == 1
    assert len(refused.err.splitlines()) == 1
    assert "var/mine.db holds other data, which the demo leaves alone" in refused.err
    assert [token["name"] for token in place.call("token", "list", "--json").json] == ["mine"]


@pytest.mark.parametrize(
    ("settings", "arguments", "reason"),
    [
        ({"BROKER_URL": "amqp://localhost/"}, (), "leave out RINGBACK_BROKER_URL"),
        (
            {"DATABASE_URL": "postgresql+psycopg://localhost/x", "SECRET_KEY": "k" * 32},
            (),
            "leave out",
        ),
        ({}, ("--quickstart",), "exclude each other"),
    ],
)
def test_what_does_not_go_together_is_refused(
    place: Place, settings: dict[str, str], arguments: tuple[str, ...], reason: str
) -> None:
    """Before anything is made."""
    place.set(**settings | {"SECRET_KEY": "k" * 32})

    refused = place.call("serve", "--demo", *arguments)

    assert refused.status == 2
    assert reason in refused.err
    assert not (place.folder / "var").exists()
