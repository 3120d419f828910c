"""Using sign-in links, and the list of people; on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from schemas.errors import Conflict, StoreUnavailable
from schemas.people import Role
from schemas.tokens.audit_log import Actor
from store.engine.database import Database
from store.people import redeeming
from store.people.links import LINK_VALID_MS, SignInLinks
from store.people.listing import find_listed, list_people
from store.people.people import People
from store.people.redeeming import redeem
from store.people.sessions import SEEN_EVERY_MS, Sessions
from store.tables import sign_in_links
from tests.kit.people import ADDRESS, ANN, BOB, add_people, done_to, sign_in
from tests.kit.tokens import TESTER

FIRST = "first@example.com"


def made(database: Database, email: str | None, valid_ms: int = LINK_VALID_MS) -> str:
    return SignInLinks(database).create(email, valid_ms, TESTER)


def test_a_persons_link_sets_the_password_and_ends_what_was_there(database: Database) -> None:
    """The address that is typed is nothing to it."""
    add_people(database)
    secret = made(database, BOB)
    sign_in(database, BOB, database.time())

    person = redeem(database, secret, FIRST, "a hash", ADDRESS)

    assert person is not None
    assert (person.email, person.password_hash) == (BOB, "a hash")
    assert Sessions(database).of(BOB, database.time()) == []
    assert redeem(database, secret, FIRST, None, ADDRESS) is None
    assert done_to(database, BOB)[-1] == "password_set"


def test_without_a_password_everything_else_stays(database: Database) -> None:
    """It only signs in."""
    add_people(database)
    secret, now = made(database, BOB), database.time()
    sign_in(database, BOB, now)

    person = redeem(database, secret, FIRST, None, ADDRESS)

    assert person == People(database).get(BOB)
    assert len(Sessions(database).of(BOB, now)) == 1
    assert redeem(database, secret, FIRST, None, ADDRESS) is None


def test_what_has_expired_or_never_was_is_nothing(database: Database) -> None:
    """Neither for a person nor for a first administrator."""
    add_people(database)

    assert redeem(database, made(database, BOB, 0), FIRST, "a hash", None) is None
    assert redeem(database, made(database, None, 0), FIRST, "a hash", None) is None
    assert redeem(database, "never was", FIRST, "a hash", None) is None
    assert People(database).get(BOB).password_hash is None


def test_a_first_link_makes_an_administrator_of_their_own_making(database: Database) -> None:
    """The log says so, with the address."""
    person = redeem(database, made(database, None), FIRST, "a hash", ADDRESS)

    assert person == People(database).get(FIRST)
    assert (person.role, person.password_hash) == (Role.ADMIN, "a hash")
    assert done_to(database, FIRST) == ["added", "password_set"]


def test_there_is_one_first_administrator(database: Database) -> None:
    """However many links were printed, and used at the same time by several processes."""
    secrets = [made(database, None) for _ in range(6)]

    def use(number: int) -> bool:
        return redeem(database, secrets[number], f"{number}@example.com", None, None) is not None

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(use, range(6))) == 1

    assert [person.role for person in People(database).all()] == [Role.ADMIN]
    with database.read() as connection:
        assert not connection.scalars(sa.select(sign_in_links.c.secret_hash)).all()


def test_a_persons_link_signs_one_in(database: Database) -> None:
    """Of several that try at the same time, in several processes."""
    add_people(database)
    for _ in range(5):
        secret = made(database, BOB)
        with ThreadPoolExecutor(6) as pool:
            got = list(pool.map(lambda _: redeem(database, secret, FIRST, None, None), range(6)))  # noqa: B023 - used before the next one
        assert len([person for person in got if person]) == 1


def test_a_first_link_ends_with_the_first_administrator(database: Database) -> None:
    """Made at the command line, or by another link."""
    secret = made(database, None)
    add_people(database)

    assert redeem(database, secret, FIRST, None, None) is None
    assert People(database).find(FIRST) is None


def test_a_first_link_promotes_no_one(database: Database) -> None:
    """It lives on, for another address."""
    secret = made(database, None)
    People(database).add(BOB, Role.VIEWER, TESTER)

    with pytest.raises(Conflict, match="is no administrator"):
        redeem(database, secret, BOB, None, None)

    assert People(database).get(BOB).role is Role.VIEWER
    assert redeem(database, secret, FIRST, None, None) is not None


def test_a_link_that_is_used_while_its_person_is_removed_harms_neither(database: Database) -> None:
    """Both lock the person first, so they cannot wait for each other."""
    add_people(database)
    for _ in range(5):
        secret = made(database, BOB)
        with ThreadPoolExecutor(2) as pool:
            used = pool.submit(redeem, database, secret, FIRST, "a hash", None)
            removed = pool.submit(People(database).remove, BOB, TESTER)
            removed.result()
            person = used.result()
        assert person is None or person.email == BOB
        assert People(database).find(BOB) is None
        People(database).add(BOB, Role.VIEWER, TESTER)


def test_an_outage_in_between_undoes_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a dead link nor half an account is left."""
    secret = made(database, None)

    def fail(*_: object) -> None:
        raise StoreUnavailable("pulled out")

    with monkeypatch.context() as patched:
        patched.setattr(redeeming, "end_access", fail)
        with pytest.raises(StoreUnavailable):
            redeem(database, secret, FIRST, "a hash", None)

    assert People(database).all() == []
    assert redeem(database, secret, FIRST, "a hash", None) is not None


def test_people_are_listed_with_their_sessions(database: Database) -> None:
    """By e-mail address, a page at a time; what has ended by itself is not counted."""
    add_people(database)
    now = database.time()
    first = sign_in(database, BOB, now - 2 * SEEN_EVERY_MS)
    sign_in(database, BOB, now - SEEN_EVERY_MS)
    Sessions(database).touch(first.session, now)

    with database.read() as connection:
        page = list_people(connection, now, 1)
        rest = list_people(connection, now, 1, page.next_cursor)
        one = find_listed(connection, now, BOB)
        none = find_listed(connection, now, "eve@example.com")

    assert [row.person.email for row in page.rows + rest.rows] == [ANN, BOB]
    assert rest.next_cursor is None
    assert (page.rows[0].sessions, page.rows[0].seen_at) == (0, None)
    assert rest.rows[0] == one
    assert one is not None
    assert (one.sessions, one.seen_at) == (2, now)
    assert none is None


def test_when_someone_was_last_here_outlives_their_sessions(database: Database) -> None:
    """By the log; being signed out by someone else is no visit."""
    add_people(database)
    now = database.time()
    sign_in(database, BOB, now - 1000)
    Sessions(database).end_all(BOB, Actor.person(ANN, ADDRESS))

    with database.read() as connection:
        found = find_listed(connection, now, BOB)

    assert found is not None
    assert (found.sessions, found.seen_at) == (0, now - 1000)
