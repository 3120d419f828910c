"""The roster: who may sign in, and the log of what was done to whom; on SQLite and on
PostgreSQL.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.errors import Conflict, Invalid, NotFound
from schemas.people import Person, Role
from store.engine.database import Database
from store.people import people as roster
from store.people.links import SignInLinks
from store.people.log import list_people_changes
from store.people.people import People
from store.people.sessions import Sessions
from tests.kit.people import ANN, BOB, add_people, done_to, sign_in
from tests.kit.tokens import TESTER


@pytest.fixture
def people(database: Database) -> People:
    add_people(database)
    return People(database)


def test_people_are_listed_by_their_address(people: People) -> None:
    """In lower case, whatever was written."""
    people.add("Zoe@Example.com", Role.VIEWER, TESTER)
    people.add("Al@Example.com", Role.VIEWER, TESTER)

    assert [(one.email, one.role) for one in people.all()] == [
        ("al@example.com", Role.VIEWER),
        (ANN, Role.ADMIN),
        (BOB, Role.VIEWER),
        ("zoe@example.com", Role.VIEWER),
    ]


def test_a_person_is_added_once(people: People) -> None:
    """Adding must not change the role of one who is there."""
    with pytest.raises(Conflict, match="may sign in already"):
        people.add("BOB@example.com", Role.ADMIN, TESTER)

    assert people.get(BOB).role is Role.VIEWER


def test_what_is_no_address_is_refused_by_its_field(people: People) -> None:
    """A form shows the fault next to it."""
    with pytest.raises(Invalid) as refused:
        people.add("bob", Role.VIEWER, TESTER)

    assert [fault.pointer for fault in refused.value.faults] == ["/email"]


def test_who_is_not_there_is_not_found(people: People) -> None:
    """A person may have been removed while another page showed them."""
    doings: list[Callable[[], object]] = [
        lambda: people.get("eve@example.com"),
        lambda: people.set_role("eve@example.com", Role.ADMIN, TESTER),
        lambda: people.set_password_hash("eve@example.com", "x", TESTER),
        lambda: people.set_language_and_zone("eve@example.com", None, None),
        lambda: people.remove("eve@example.com", TESTER),
    ]

    for do in doings:
        with pytest.raises(NotFound, match="there is no person eve@"):
            do()
    assert people.find("eve@example.com") is None


def test_what_a_person_chose_is_kept(people: People) -> None:
    """Language and zone, and a role, apart from each other."""
    people.set_language_and_zone(BOB, "it", "Europe/Rome")
    people.set_role(BOB, Role.ADMIN, TESTER)

    known = people.get(BOB)
    assert (known.language, known.zone, known.role) == ("it", "Europe/Rome", Role.ADMIN)


def test_the_last_administrator_stays_one(people: People) -> None:
    """Otherwise the pages could only be opened again at the command line."""
    with pytest.raises(Conflict, match="last administrator"):
        people.set_role(ANN, Role.VIEWER, TESTER)
    with pytest.raises(Conflict, match="last administrator"):
        people.remove(ANN, TESTER)

    people.set_role(BOB, Role.ADMIN, TESTER)
    people.remove(ANN, TESTER)

    assert [one.email for one in people.all()] == [BOB]


@pytest.mark.parametrize("way", ["removed", "made viewers"])
def test_two_last_administrators_do_not_end_each_other(people: People, way: str) -> None:
    """At the same moment, in two processes: one of them stays."""
    people.set_role(BOB, Role.ADMIN, TESTER)

    def end(email: str) -> str:
        try:
            if way == "removed":
                people.remove(email, TESTER)
            else:
                people.set_role(email, Role.VIEWER, TESTER)
        except Conflict:
            return "refused"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(end, (ANN, BOB)))

    assert outcomes == ["done", "refused"]
    assert [one.role for one in people.all()].count(Role.ADMIN) == 1


def test_a_removed_person_is_out_at_once(people: People, database: Database) -> None:
    """Sessions and links end in the same transaction; those of others go on."""
    bobs, anns = sign_in(database, BOB, 1_000), sign_in(database, ANN, 1_000)
    links = SignInLinks(database)
    bobs_link, anns_link = (links.create(email, 60_000, TESTER) for email in (BOB, ANN))

    people.remove(BOB, TESTER)

    now = database.time()
    assert Sessions(database).of(BOB, bobs.session.seen_at) == []
    assert Sessions(database).of(ANN, anns.session.seen_at) == [anns.session]
    assert links.peek(bobs_link, now) is None
    assert links.peek(anns_link, now) is not None


def test_a_new_password_ends_every_session_and_link(people: People, database: Database) -> None:
    """The old password may have been known to someone else, and the cookie of any session."""
    begun = sign_in(database, BOB, 1_000)
    link = SignInLinks(database).create(BOB, 60_000, TESTER)

    known = people.set_password_hash(BOB, "a hash", TESTER)

    assert known.password_hash == "a hash"
    assert Sessions(database).of(BOB, begun.session.seen_at) == []
    assert SignInLinks(database).peek(link, database.time()) is None


def test_a_password_is_in_no_text(people: People) -> None:
    """Reprs reach logs."""
    assert "a hash" not in repr(people.set_password_hash(BOB, "a hash", TESTER))


def test_all_that_is_done_to_people_is_in_the_log(people: People, database: Database) -> None:
    """With who did it, from where, and what it was before."""
    people.set_role(BOB, Role.ADMIN, TESTER)
    people.set_role(BOB, Role.ADMIN, TESTER)
    people.set_password_hash(BOB, "a hash", TESTER)
    people.remove(BOB, TESTER)

    with database.read() as connection:
        rows = list_people_changes(connection, 100, email=BOB).rows[::-1]

    assert [(row.action, dict(row.details)) for row in rows] == [
        ("added", {"role": (None, "viewer")}),
        ("role_changed", {"role": ("viewer", "admin")}),
        ("password_set", {}),
        ("removed", {"role": ("admin", None)}),
    ]
    assert {row.actor for row in rows} == {TESTER}
    assert {row.email for row in rows} == {BOB}


def test_the_log_is_read_in_pages_from_its_end(people: People, database: Database) -> None:
    """Each row once, of everyone or of one person."""
    people.set_role(BOB, Role.ADMIN, TESTER)
    pages, cursor = [], None
    while True:
        with database.read() as connection:
            page = list_people_changes(connection, 2, cursor)
        pages.append([(row.email, row.action.value) for row in page.rows])
        if (cursor := page.next_cursor) is None:
            break

    assert pages == [[(BOB, "role_changed"), (BOB, "added")], [(ANN, "added")]]
    assert done_to(database, ANN) == ["added"]


def test_what_cannot_be_written_down_is_not_done(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction for both."""

    def fail(*_: object) -> None:
        raise RuntimeError("full")

    before = people.all()
    monkeypatch.setattr(roster, "record", fail)
    doings: list[Callable[[], object]] = [
        lambda: people.add("eve@example.com", Role.VIEWER, TESTER),
        lambda: people.set_role(BOB, Role.ADMIN, TESTER),
        lambda: people.set_password_hash(BOB, "a hash", TESTER),
        lambda: people.remove(BOB, TESTER),
    ]

    for do in doings:
        with pytest.raises(RuntimeError):
            do()

    assert people.all() == before


def test_one_person_is_added_by_one_of_two(people: People) -> None:
    """Two administrators had the same idea: the second one learns of it."""

    def add(role: Role) -> Person | None:
        try:
            return people.add("eve@example.com", role, TESTER)
        except Conflict:
            return None

    with ThreadPoolExecutor(2) as pool:
        added = [person for person in pool.map(add, Role) if person]

    assert added == [people.get("eve@example.com")]
