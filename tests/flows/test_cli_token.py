"""`ringback token …` and `ringback deliveries …`, against a database of their own."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.deliveries.settlement import Settlement
from schemas.ids import CallbackId, TokenId, delivery_id
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import is_token, signing_key
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.events.claims import claim
from tests.kit.command import Place
from tests.kit.making import a_claim, a_delivery, an_attempt


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A migrated database, and callbacks to this machine allowed."""
    made = Place(tmp_path, ALLOW_TARGETS="127.0.0.0/8")
    assert made.call("migrate").status == 0
    return made


def a_token(place: Place, *options: str) -> Any:
    done = place.call("token", "create", "ACME CRM", "--json", *options)
    assert done.status == 0, done.err
    return done.json


def test_a_created_token_is_printed_once_with_its_secrets(place: Place) -> None:
    """Programs read the three fields that they need for everything else."""
    made = a_token(
        place,
        "--permission",
        "events:publish",
        "--callback",
        "message.received=http://127.0.0.1:9000/x",
        "--channel",
        "ch1",
        "--contact",
        "ops@acme.example",
    )

    assert is_token(made["token"])
    assert len(signing_key(made["signing_secret"])) == 32
    shown = place.call("token", "show", made["id"], "--json").json
    assert shown["callbacks"]["message.received"]["url"] == "http://127.0.0.1:9000/x"
    assert shown["permissions"] == ["events:publish"]
    assert shown["contact"] == "ops@acme.example"
    assert "ops@acme.example" in place.call("token", "show", made["id"]).out
    assert shown["visibility"] == {"channels": ["ch1"]}
    assert "token" not in shown
    assert "signing_secret" not in shown


def test_creating_a_token_shows_what_each_permission_is(place: Place) -> None:
    """By the label that administrators know, each on a line of its own."""
    lines = [
        line.split(maxsplit=1) for line in place.call("token", "create", "--help").out.splitlines()
    ]

    for permission in Permission:
        assert [permission.value, permission.label] in lines


def test_a_token_that_cannot_be_read_is_shown_as_such_and_can_be_revoked(place: Place) -> None:
    """After a restore without its key nothing is sent for it: who looks must see why, and be able
    to end it.
    """
    token_id = a_token(place)["id"]
    place.set(SECRET_KEY="another-key-0123456789")

    listed, shown, doctor = (
        place.call("token", "list"),
        place.call("token", "show", token_id),
        place.call("doctor"),
    )

    assert "active, secrets unreadable: nothing is sent" in listed.out
    assert "active, secrets unreadable: nothing is sent" in shown.out
    assert doctor.status == 1
    assert f"FAIL: the secrets of {token_id} cannot be read" in doctor.out
    assert (
        "RINGBACK_SECRET_KEY lacks the key"
        in place.call("token", "rotate-signing-secret", token_id).err
    )
    assert place.call("token", "revoke", token_id).status == 0
    assert place.call("token", "list", "--state", "revoked", "--json").json[0]["id"] == token_id


def test_the_longest_life_holds_at_the_command_line_too(place: Place) -> None:
    """Else the policy would hold for those alone who keep to it anyway."""
    place.set(TOKEN_MAX_LIFE="90d")

    refused = place.call("token", "create", "x")

    assert refused.status == 1
    assert "at most 90d" in refused.err
    assert place.call("token", "create", "x", "--contact", "ops").err == (
        "ringback: this is not an e-mail address such as ops@example.com\n"
    )
    a_token(place, "--activates-at", "2030-01-01T00:00:00Z", "--expires-at", "2030-02-01T00:00:00Z")


def test_people_get_columns_and_the_secrets_too(place: Place) -> None:
    """Without --json nothing may be lost."""
    done = place.call("token", "create", "ACME [bold]CRM[/bold]")

    assert "rbk_" in done.out
    assert "whsec_" in done.out
    assert "ACME [bold]CRM[/bold]" in place.call("token", "list").out


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--callback", "message.received", "is not TYPE=URL"),
        ("--callback", "cat.meowed=http://127.0.0.1/", "is not TYPE=URL"),
        ("--callback", "message.received=http://10.0.0.1/", "not a public address"),
        ("--permission", "everything", "not one of conversations:read"),
        ("--expires-at", "tomorrow", "like 2026-11-22T10:00:00.000Z"),
    ],
)
def test_arguments_that_cannot_be_are_wrong_use(
    place: Place, option: str, value: str, said: str
) -> None:
    """Each says what would be right."""
    done = place.call("token", "create", "x", option, value)

    assert done.status == 2
    assert said in done.err


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            "http://127.0.0.1:9000/",
            "RINGBACK_ALLOW_TARGETS=10.1.0.0/16,127.0.0.0/8 to ringback.env",
        ),
        (
            "http://localhost:9000/",
            "RINGBACK_ALLOW_TARGETS=10.1.0.0/16,127.0.0.0/8 to ringback.env",
        ),
        ("http://[::1]:9000/", "RINGBACK_ALLOW_TARGETS=10.1.0.0/16,::1/128 to ringback.env"),
        ("http://192.168.0.1/", None),
        ("http://crm.example.com/", None),
    ],
)
def test_a_receiver_on_this_machine_is_refused_with_the_line_that_allows_it(
    place: Place, url: str, line: str | None
) -> None:
    """The first callback that anybody tries; other private networks are not to be opened by
    pasting.
    """
    place.set(ALLOW_TARGETS="10.1.0.0/16")

    done = place.call("token", "create", "x", "--callback", f"message.received={url}")

    assert done.status == 2
    assert line in done.err if line else "ringback.env" not in done.err


def test_a_token_that_breaks_the_rules_is_refused_in_one_line(place: Place) -> None:
    """The rules are the API's. The error of a mistyped year shows both times, and what to write
    instead.
    """
    done = place.call(
        "token",
        "create",
        "x",
        "--activates-at",
        "2030-01-01T00:00:00Z",
        "--expires-at",
        "2020-01-01T00:00:00Z",
    )

    expected = (
        "it expires at 2020-01-01T00:00:00.000Z, which is not after its activation at "
        "2030-01-01T00:00:00.000Z"
    )
    assert (done.status, expected in done.err, "Give a later time" in done.err) == (1, True, True)


def test_a_token_is_suspended_resumed_and_revoked(place: Place) -> None:
    """Suspending can be undone, revoking cannot."""
    token_id = a_token(place)["id"]

    states = [
        place.call("token", action, token_id).status
        or place.call("token", "show", token_id, "--json").json["state"]
        for action in ("suspend", "resume", "revoke")
    ]

    assert states == ["suspended", "active", "revoked"]
    assert place.call("token", "list", "--json").json == []
    assert [
        token["id"] for token in place.call("token", "list", "--state", "revoked", "--json").json
    ] == [token_id]
    done = place.call("token", "resume", token_id)
    assert done.status == 1
    assert "revoked" in done.err


def test_secrets_are_replaced(place: Place) -> None:
    """Both kinds, each on its own."""
    made = a_token(place)

    regenerated = place.call("token", "regenerate", made["id"], "--overlap", "1h", "--json").json
    rotated = place.call("token", "rotate-signing-secret", made["id"], "--json").json

    assert is_token(regenerated["token"])
    assert regenerated["token"] != made["token"]
    assert "signing_secret" not in regenerated
    assert signing_key(rotated["signing_secret"]) != signing_key(made["signing_secret"])


def test_what_was_done_to_a_token_is_listed(place: Place) -> None:
    """What, from where, and what became of it; newest first."""
    token_id = a_token(place)["id"]
    place.call("token", "suspend", token_id)

    table, changes = (
        place.call("token", "changes", token_id),
        place.call("token", "changes", token_id, "--json").json,
    )

    assert re.search(
        r"^\S+Z +suspended +command line +- +enabled: true → false *$", table.out, re.MULTILINE
    ), table.out
    assert [(row["action"], row["by"], row["address"]) for row in changes] == [
        ("suspended", "command line", None),
        ("created", "command line", None),
    ]
    assert place.call("token", "changes", "tok_none").status == 1


def test_a_token_that_is_not_there_is_one_line(place: Place) -> None:
    """A mistyped id."""
    done = place.call("token", "show", "tok_none")

    assert (done.status, done.err) == (1, "ringback: there is no token tok_none\n")


@pytest.fixture
def failed_delivery(place: Place) -> str:
    """The id of one that got a 500 and waits for its next attempt."""
    made = a_token(place, "--callback", "message.received=http://127.0.0.1:9000/?key=hidden")
    database = Database(f"sqlite:///{place.folder}/var/ringback.db")
    with database.write() as connection:
        callback_id = CallbackId(
            connection.exec_driver_sql("SELECT id FROM callbacks").scalar_one()
        )
        delivery = msgspec.structs.replace(
            a_delivery("evt_1", callback_id), token_id=TokenId(made["id"])
        )
        attempt = an_attempt(Outcome.HTTP_5XX, 500, error="the database was restarting")
        claim(connection, [a_claim("evt_1", callback_id)], UnixMs(0))
        settle(
            connection,
            [Settlement(delivery, DeliveryState.PENDING, due_in_s=60, failures=1, attempt=attempt)],
            UnixMs(0),
        )
    database.close()
    return delivery_id(delivery.event_id, callback_id)


def test_deliveries_are_listed_with_how_their_last_attempt_ended(
    place: Place, failed_delivery: str
) -> None:
    """`what was delivered, what was not and why` is the first question."""
    listed = place.call("deliveries", "list", "--json").json
    table = place.call("deliveries", "list").out

    assert [(one["id"], one["state"], one["status_code"]) for one in listed] == [
        (failed_delivery, "pending", 500)
    ]
    assert "http_5xx (500)" in table
    assert failed_delivery in table
    assert place.call("deliveries", "list", "--state", "delivered", "--json").json == []


def test_a_delivery_is_shown_with_each_attempt_and_why_it_failed(
    place: Place, failed_delivery: str
) -> None:
    """The reason in words; the list has room for its kind alone."""
    shown = place.call("deliveries", "show", failed_delivery).out
    answer = place.call("deliveries", "show", failed_delivery, "--json").json

    assert failed_delivery in shown
    assert "http://127.0.0.1:9000/?key=***" in shown
    assert re.search(
        r"^1 +\S+Z +first +http_5xx \(500\) +3 ms +the database was restarting$",
        shown,
        re.MULTILINE,
    ), shown
    assert [attempt["error"] for attempt in answer["attempts"]] == ["the database was restarting"]


def test_a_delivery_is_tried_again(place: Place, failed_delivery: str) -> None:
    """A row asks whatever dispatcher runs, or will run."""
    done = place.call("deliveries", "retry", failed_delivery, "--json")

    assert done.status == 0, done.err
    assert done.json["attempt_id"].startswith("att_")


@pytest.mark.parametrize("action", ["show", "retry"])
def test_a_delivery_that_is_not_there_is_one_line(place: Place, action: str) -> None:
    """A mistyped id."""
    done = place.call("deliveries", action, "dlv_none")

    assert (done.status, done.err) == (1, "ringback: there is no delivery dlv_none\n")


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "utf-8"])
def test_a_terminal_that_lacks_a_letter_gets_another(place: Place, encoding: str) -> None:
    """By its locale. What programs read is escaped instead, and so is whole."""
    token_id = place.call("token", "create", "株式会社 ACME 👩\u200d🔬", "--json").json["id"]
    place.env |= {"PYTHONIOENCODING": encoding, "LC_ALL": "C.UTF-8"}

    listed, shown, data = (
        place.call("token", "list"),
        place.call("token", "show", token_id),
        place.call("token", "list", "--json"),
    )

    for done in (listed, shown):
        assert done.status == 0, done.err
        assert " ACME " in done.out
        assert ("株式会社" in done.out) >= (encoding == "utf-8")
    assert data.json[0]["name"] == "株式会社 ACME 👩\u200d🔬"
