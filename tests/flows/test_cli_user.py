"""`ringback user …`, against a database of their own."""

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from schemas.passwords import is_password
from schemas.times import UnixMs
from store.engine.database import Database
from store.people.links import LINK_VALID_MS, SignInLinks
from store.people.people import People
from store.people.redeeming import redeem
from tests.kit.command import LIMIT_S, PROGRAM, Place
from tests.kit.people import ANN, BOB, done_to, sign_in

PASSWORD = "correct horse"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A migrated database, whose administrator is Ann."""
    made = Place(tmp_path, PUBLIC_URL="https://hooks.example/ringback/")
    assert made.call("migrate").status == 0
    assert made.call("user", "add", ANN, "--role", "admin").status == 0
    return made


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    made = Database(f"sqlite:///{place.folder}/var/ringback.db")
    yield made
    made.close()


def set_password(place: Place, email: str, given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "user", "set-password", email],
        env=place.env,
        cwd=place.folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def code_of(link: str) -> str:
    """The secret in a link to this installation."""
    address = urlsplit(link)
    assert address._replace(query="").geturl() == "https://hooks.example/ringback/sign-in/link"
    return parse_qs(address.query)["code"][0]


def test_a_new_person_gets_a_link_that_is_good_once_and_for_a_day(
    place: Place, database: Database
) -> None:
    """With it the person sets a password: no administrator has to know one."""
    added = place.call("user", "add", "Bob@Example.com", "--json").json

    assert (added["email"], added["role"], added["has_password"]) == (BOB, "viewer", False)
    now, links, code = database.time(), SignInLinks(database), code_of(added["link"])
    assert links.peek(code, UnixMs(now + LINK_VALID_MS - 60_000)) is not None
    assert links.peek(code, UnixMs(now + LINK_VALID_MS)) is None
    assert redeem(database, code, "", None, None) == People(database).get(BOB)
    assert redeem(database, code, "", None, None) is None


def test_a_link_can_be_made_again(place: Place, database: Database) -> None:
    """People lose it, and forget passwords. The one before ends, as it may be in other hands."""
    before = place.call("user", "link", ANN, "--json").json["link"]
    shown = place.call("user", "link", ANN).out

    (link,) = re.findall(r"https://hooks\.example/ringback/sign-in/link\?code=\S+", shown)
    assert redeem(database, code_of(before), "", None, None) is None
    assert redeem(database, code_of(link), "", None, None) == People(database).get(ANN)
    assert place.call("user", "link", BOB).err == f"ringback: there is no person {BOB}\n"
    assert done_to(database, ANN) == ["added"] + ["link_created"] * 3


def test_people_are_listed_with_what_they_may_and_have(place: Place, database: Database) -> None:
    """Neither a link nor a hash is shown."""
    place.call("user", "add", BOB)
    set_password(place, BOB, PASSWORD)
    sign_in(database, BOB, database.time())

    listed = place.call("user", "list", "--json").json

    assert [
        (one["email"], one["role"], one["has_password"], one["sessions"]) for one in listed
    ] == [
        (ANN, "admin", False, 0),
        (BOB, "viewer", True, 1),
    ]
    assert "scrypt" not in str(listed)
    assert [line.split()[:4] for line in place.call("user", "list").out.splitlines()[1:]] == [
        [ANN, "admin", "not", "set"],
        [BOB, "viewer", "set", "1"],
    ]


def test_a_password_comes_from_standard_input_where_no_one_types(
    place: Place, database: Database
) -> None:
    """A program sets it without showing it in the list of processes. The person is signed out."""
    session = sign_in(database, ANN, database.time())

    done = set_password(place, ANN, f"{PASSWORD}\nnot this\n")

    assert (done.returncode, done.stderr) == (0, "")
    assert PASSWORD not in done.stdout
    known = People(database).get(ANN)
    assert is_password(PASSWORD, known.password_hash)
    assert place.call("user", "list", "--json").json[0]["sessions"] == 0
    assert done_to(database, session.session.email)[-1] == "password_set"


@pytest.mark.parametrize(
    ("email", "given", "said"),
    [
        (ANN, "short", "a password has at least 8 characters"),
        (ANN, "", "a password has at least 8 characters"),
        (BOB, PASSWORD, f"there is no person {BOB}"),
    ],
)
def test_a_password_that_cannot_be_set_changes_nothing(
    place: Place, database: Database, email: str, given: str, said: str
) -> None:
    """One line says why."""
    done = set_password(place, email, given)

    assert (done.returncode, done.stderr) == (1, f"ringback: {said}\n")
    assert People(database).get(ANN).password_hash is None


def test_a_password_is_typed_twice_and_not_shown(place: Place, database: Database) -> None:
    """At a terminal, where someone may look over a shoulder."""
    terminal, end = pty.openpty()
    typing = subprocess.Popen(
        [PROGRAM, "user", "set-password", ANN],
        env=place.env,
        cwd=place.folder,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        close_fds=True,
    )
    os.close(end)

    shown = _until(terminal, b"Password: ")
    os.write(terminal, f"{PASSWORD}\n".encode())
    shown += _until(terminal, b"confirmation: ")
    os.write(terminal, f"{PASSWORD}\n".encode())

    assert typing.wait(LIMIT_S) == 0
    os.close(terminal)
    assert PASSWORD.encode() not in shown
    assert is_password(PASSWORD, People(database).get(ANN).password_hash)


def _until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 1024)
    return seen


def test_a_removed_person_is_gone_and_the_last_administrator_stays(place: Place) -> None:
    """The reason is one line, and the status is 1."""
    place.call("user", "add", BOB)

    assert place.call("user", "remove", BOB).out == f"{BOB} is removed\n"
    again, last = place.call("user", "remove", BOB), place.call("user", "remove", ANN)

    assert (again.status, again.err) == (1, f"ringback: there is no person {BOB}\n")
    assert last.status == 1
    assert last.err.startswith(f"ringback: {ANN} is the last administrator")
    assert [one["email"] for one in place.call("user", "list", "--json").json] == [ANN]


def test_a_person_is_added_once(place: Place) -> None:
    """However the address is written."""
    done = place.call("user", "add", ANN.upper())

    assert done.status == 1
    assert "may sign in already" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "ann"), "this is not an e-mail address"),
        (("add", BOB, "--role", "owner"), "'owner' is not one of admin, viewer"),
        (("remove", "a@b@c"), "this is not an e-mail address"),
    ],
)
def test_arguments_that_cannot_be_are_wrong_use(
    place: Place, arguments: tuple[str, ...], said: str
) -> None:
    """Each says what would be right."""
    done = place.call("user", *arguments)

    assert done.status == 2
    assert said in done.err
