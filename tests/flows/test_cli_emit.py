"""`ringback emit`, against a stand-in for the API that answers as a test wants."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.events.events import parse_event
from tests.kit.command import Place
from tests.kit.stand_in import StandIn

TOKEN = "rbk_0123456789ABCDEFGHIJabcdefghij0BQj2z"


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, api: StandIn) -> Place:
    return Place(tmp_path, TOKEN=TOKEN, LISTEN=api.url.removeprefix("http://"))


@pytest.mark.parametrize("kind", ["conversation.created", "message.received", "message.status"])
def test_samples_of_every_type_are_valid_and_each_its_own(
    place: Place, api: StandIn, kind: str
) -> None:
    """Otherwise the second would be a duplicate, or a status that comes too late."""
    done = place.call("emit", kind, "--count", "20", "--channel", "ch9")

    events = [parse_event(body) for body in api.bodies]
    assert done.status == 0, done.err
    assert done.out.startswith("20 events accepted in ")
    assert len({event.id for event in events}) == 20
    assert len({event.facts.message_id or event.facts.conversation_id for event in events}) == 20
    assert {event.facts.channel_id for event in events} == {"ch9"}
    assert api.tokens == {f"Bearer {TOKEN}"}


def test_programs_get_the_ids(place: Place, api: StandIn) -> None:
    """To look the deliveries up."""
    answer = place.call("emit", "message.received", "--count", "3", "--url", api.url, "--json").json

    assert answer["accepted"] == 3
    assert sorted(answer["ids"]) == sorted(event["id"] for event in api.events)


def test_the_rate_is_kept(place: Place, api: StandIn) -> None:
    """A steady load is what it is for."""
    started_s = time.monotonic()

    place.call("emit", "message.received", "--count", "11", "--rate", "20")

    assert time.monotonic() - started_s > 10 / 20
    assert len(api.bodies) == 11


def test_what_cannot_be_taken_now_is_sent_again_under_the_same_id(
    place: Place, api: StandIn
) -> None:
    """A 503 may have stored it: a new id would make two of one."""
    api.answer = lambda before: 503 if before == 0 else 202

    done = place.call("emit", "message.received")

    assert done.status == 0, done.err
    assert [event["id"] for event in api.events] == [api.events[0]["id"]] * 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_whatever_may_pass_is_waited_for(place: Place, api: StandIn, status: int) -> None:
    """The address of the API, or of a proxy in front of it."""
    api.answer = lambda before: status if before == 0 else 202

    done = place.call("emit", "message.received")

    assert (done.status, len(api.bodies)) == (0, 2), done.err


def test_a_limit_is_kept_to_however_often_it_is_met(place: Place, api: StandIn) -> None:
    """Other answers are trouble that has to end; a 429 says how fast we may be."""
    api.answer = lambda before: 202 if before == 8 else 429

    done = place.call("emit", "message.received")

    assert (done.status, len(api.bodies)) == (0, 9), done.err


def test_a_refusal_ends_it_and_says_how_far_it_came(place: Place, api: StandIn) -> None:
    """A thousand times the same 401 would not help."""
    api.answer = lambda before: 202 if before < 5 else 401

    done = place.call("emit", "message.received", "--count", "1000")

    assert done.status == 1
    assert (
        "the API answered 401: because of the test (is the token in RINGBACK_TOKEN "
        "correct?); 5 of 1000 were accepted before" in done.err
    )
    assert done.err.count("\n") == 1
    assert len(api.bodies) < 50


def test_without_a_server_it_says_what_to_start(place: Place) -> None:
    """The commonest mistake of the first five minutes."""
    done = place.call("emit", "message.received", "--url", "http://127.0.0.1:1")

    assert done.status == 1
    assert "no answer from 127.0.0.1:1" in done.err
    assert "ringback serve" in done.err


@pytest.mark.parametrize(
    ("file", "options"), [("ringback.env", []), ("other.env", ["--env-file", "other.env"])]
)
def test_the_token_may_stand_where_the_settings_stand(
    place: Place, api: StandIn, file: str, options: list[str]
) -> None:
    """A user who keeps everything in one file need not export a part of it."""
    del place.env["RINGBACK_TOKEN"]
    (place.folder / file).write_text(f"RINGBACK_TOKEN={TOKEN}\n")

    done = place.call(*options, "emit", "message.received")

    assert done.status == 0, done.err
    assert api.tokens == {f"Bearer {TOKEN}"}


def test_a_token_in_the_environment_is_preferred(place: Place, api: StandIn) -> None:
    """Every setting is read like this."""
    (place.folder / "ringback.env").write_text("RINGBACK_TOKEN=another\n")

    place.call("emit", "message.received")

    assert api.tokens == {f"Bearer {TOKEN}"}


def test_without_a_token_it_says_where_to_put_one(place: Place) -> None:
    """On the command line every user would see it in the process list."""
    del place.env["RINGBACK_TOKEN"]

    done = place.call("emit", "message.received")

    assert done.status == 2
    assert "RINGBACK_TOKEN is not set" in done.err
    assert "ringback.env" in done.err
