"""What all subcommands share: help, exit status, one line for what is wrong; and those that need no
token.
"""

import json
import socket
from pathlib import Path

import pytest

from ringback.cli import COMMANDS
from tests.kit.command import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_help_names_every_subcommand_and_each_explains_itself(place: Place) -> None:
    """The list is written by hand, so that showing it imports nothing."""
    help_text = place.call("--help").out

    for name in COMMANDS:
        assert f"\n  {name} " in help_text
        done = place.call(name, "--help")
        assert done.status == 0, done.err
        assert done.out.startswith(f"Usage: ringback {name}")


def test_nothing_is_made_in_a_folder_where_only_help_was_asked_for(place: Place) -> None:
    """Looking is free."""
    place.call("--help")
    place.call("token", "list")

    assert list(place.folder.iterdir()) == []


def test_wrong_settings_are_one_line_and_exit_2(place: Place) -> None:
    """A supervisor must not restart for ever what cannot work."""
    place.set(TIMEOUT="5 parsecs")

    done = place.call("token", "list")

    assert done.status == 2
    assert (
        done.err
        == "ringback: RINGBACK_TIMEOUT: '5 parsecs' is not a duration such as 500ms, 5s, 30m, 2h "
        "or 5d\n"
    )


def test_a_setting_without_its_prefix_is_reported(place: Place) -> None:
    """Other programs may mean something by it: so it stops nothing, and is no news where the
    setting is set.
    """
    place.env["LISTEN"] = place.env["DATABASE_URL"] = "x"
    place.set(DATABASE_URL="sqlite:///x.db")
    place.call("migrate")

    done = place.call("token", "list")

    assert (done.status, done.err) == (
        0,
        "ringback: LISTEN is set, and is not read: is RINGBACK_LISTEN meant?\n",
    )


def test_an_unknown_subcommand_is_wrong_use(place: Place) -> None:
    """Exit 2 is click's own for that."""
    assert place.call("deliver").status == 2


def test_the_env_file_can_be_named(place: Place) -> None:
    """One machine may hold several Ringbacks."""
    (place.folder / "other.env").write_text(
        "RINGBACK_OUTBOX_MAX=7\nRINGBACK_SECRET_KEY=0123456789abcdef\n"
    )
    place.call("migrate")

    shown = place.call("--env-file", "other.env", "doctor", "--json").json

    assert shown["settings"]["RINGBACK_OUTBOX_MAX"] == "7"
    assert shown["settings"]["RINGBACK_SECRET_KEY"] == "***"


def test_without_a_database_commands_say_how_to_make_one(place: Place) -> None:
    """An empty file made by looking would only confuse."""
    done = place.call("deliveries", "list")

    assert done.status == 1
    assert "run `ringback migrate`" in done.err
    assert done.err.count("\n") == 1
    assert not (place.folder / "var").exists()


def test_migrate_can_be_repeated(place: Place) -> None:
    """Deployments run it every time."""
    first, second = place.call("migrate"), place.call("migrate")

    assert (first.status, second.status) == (0, 0)
    assert first.out == second.out


def test_a_database_that_does_not_answer_is_one_line(place: Place, closed_port: int) -> None:
    """No traceback for what an operator can mend."""
    place.set(
        DATABASE_URL=f"postgresql+psycopg://u:hidden@127.0.0.1:{closed_port}/d",
        SECRET_KEY="0123456789abcdef",
    )

    done = place.call("migrate")

    assert done.status == 1
    assert done.err.startswith("ringback: the database does not answer")
    assert done.err.count("\n") == 1
    assert "hidden" not in done.err


def test_the_openapi_document_needs_no_database(place: Place) -> None:
    """It is published by builds that have none."""
    document = place.call("openapi").json

    assert place.call("openapi", "--json").json == document
    assert document["openapi"].startswith("3.1")
    assert "message.received" in document["webhooks"]
    assert list(place.folder.iterdir()) == []


def test_the_doctor_finds_a_healthy_place_healthy(place: Place, closed_port: int) -> None:
    """A user who just installed it wants to know that."""
    place.set(LISTEN=f"127.0.0.1:{closed_port}", METRICS_LISTEN="127.0.0.1:0")
    place.call("migrate")

    done = place.call("doctor")

    assert done.status == 0, done.out
    assert "FAIL: " not in done.out
    assert "RINGBACK_RETRY_SCHEDULE        5s,5m,30m" in done.out


def test_the_doctor_says_what_to_do_about_each_thing_that_is_wrong(
    place: Place, closed_port: int
) -> None:
    """All of it at once: one mends it in one go."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place.set(
            LISTEN=f"127.0.0.1:{taken.getsockname()[1]}",
            BROKER_URL=f"amqp://u:hidden@127.0.0.1:{closed_port}/",
            SECRET_KEY="0123456789abcdef",
        )

        done = place.call("doctor", "--json")

    wrong = {
        check["what"]: check["detail"]
        for check in json.loads(done.out)["checks"]
        if not check["ok"]
    }
    assert done.status == 1
    assert "ringback migrate" in wrong["database"]
    assert "cannot reach the broker" in wrong["broker"]
    assert "set RINGBACK_LISTEN" in wrong["port"]
    assert "hidden" not in done.out


@pytest.fixture
def closed_port() -> int:
    """A port on which no program listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
