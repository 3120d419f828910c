"""Sessions and sign-in links: found by a secret of which only the hash is stored, and ended; on
SQLite and on PostgreSQL.
"""

import pytest
import sqlalchemy as sa

from schemas.errors import Conflict, NotFound
from schemas.people import Person, Role, SignInLink, sign_in_hash
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from store.engine.database import Database
from store.people.links import LINK_VALID_MS, SignInLinks
from store.people.people import People
from store.people.redeeming import redeem
from store.people.sessions import IDLE_MS, LIFE_MS, MAX_SESSIONS, SEEN_EVERY_MS, Sessions
from store.tables import sessions as session_table
from store.tables import sign_in_links
from tests.kit.people import ADDRESS, ANN, BOB, add_people, done_to, sign_in
from tests.kit.tokens import TESTER

NOW = UnixMs(1_000_000_000_000)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    add_people(database)
    return Sessions(database)


@pytest.fixture
def links(database: Database) -> SignInLinks:
    add_people(database)
    return SignInLinks(database)


def bob(database: Database) -> Person:
    return People(database).get(BOB)


def later(ms: int) -> UnixMs:
    return UnixMs(NOW + ms)


def test_a_session_is_found_by_its_secret_with_its_person(
    sessions: Sessions, database: Database
) -> None:
    """With the role as it is now, and not as it was at signing in."""
    made = sign_in(database, BOB, NOW)
    People(database).set_role(BOB, Role.ADMIN, TESTER)

    found = sessions.find(sign_in_hash(made.secret), NOW)

    assert found is not None
    assert found[0] == made.session
    assert (found[1].email, found[1].role) == (BOB, Role.ADMIN)
    assert sessions.find(sign_in_hash(made.secret + "x"), NOW) is None


def test_no_secret_is_stored_or_shown(sessions: Sessions, database: Database) -> None:
    """Neither of sessions nor of links: who reads the database must not be able to sign in."""
    session = sign_in(database, BOB, NOW)
    link = SignInLinks(database).create(BOB, LINK_VALID_MS, TESTER)

    with database.read() as connection:
        stored = [
            connection.execute(sa.select(table)).all() for table in (session_table, sign_in_links)
        ]

    assert session.secret not in str(stored) + repr(session)
    assert link not in str(stored)
    assert session.session.id not in session.secret


def test_a_session_that_is_not_used_ends(sessions: Sessions, database: Database) -> None:
    """After two weeks, counted from its last use."""
    made = sign_in(database, BOB, NOW)
    secret_hash = sign_in_hash(made.secret)

    assert sessions.find(secret_hash, later(IDLE_MS - 1)) is not None
    assert sessions.find(secret_hash, later(IDLE_MS)) is None

    sessions.touch(made.session, later(IDLE_MS - 1))
    assert sessions.find(secret_hash, later(IDLE_MS)) is not None


def test_a_session_ends_however_much_it_is_used(sessions: Sessions, database: Database) -> None:
    """After 90 days: a stolen cookie must not work for ever."""
    made = sign_in(database, BOB, NOW)
    sessions.touch(made.session, later(LIFE_MS - 1))

    assert sessions.find(sign_in_hash(made.secret), later(LIFE_MS - 1)) is not None
    assert sessions.find(sign_in_hash(made.secret), later(LIFE_MS)) is None


def test_use_is_noted_once_a_minute(sessions: Sessions, database: Database) -> None:
    """A page of ten requests is no reason for ten commits."""
    made = sign_in(database, BOB, NOW)

    sessions.touch(made.session, later(SEEN_EVERY_MS - 1))
    assert sessions.of(BOB, NOW)[0].seen_at == NOW

    sessions.touch(made.session, later(SEEN_EVERY_MS))
    assert sessions.of(BOB, NOW)[0].seen_at == later(SEEN_EVERY_MS)


def test_giving_the_password_again_is_noted(sessions: Sessions, database: Database) -> None:
    """Who signed in by a link has not given it yet."""
    made = sessions.create(bob(database), None, None, NOW, is_confirmed=False)
    assert made.session.confirmed_at is None

    sessions.confirm(made.session.id, later(1))

    assert sessions.of(BOB, NOW)[0].confirmed_at == later(1)


def test_people_see_their_own_sessions_and_end_them_one_by_one(
    sessions: Sessions, database: Database
) -> None:
    """Those that were used last first. No one ends one of someone else by its id."""
    first, second = sign_in(database, BOB, NOW), sign_in(database, BOB, NOW + 1)
    anns = sign_in(database, ANN, NOW)
    bob = Actor.person(BOB, ADDRESS)

    assert sessions.of(BOB, NOW) == [second.session, first.session]
    assert not sessions.end(BOB, anns.session.id, bob)
    assert sessions.end(BOB, first.session.id, bob)
    assert not sessions.end(BOB, first.session.id, bob)

    assert sessions.find(sign_in_hash(first.secret), NOW) is None
    assert sessions.of(BOB, NOW) == [second.session]
    assert sessions.of(ANN, NOW) == [anns.session]


def test_all_sessions_but_one_can_be_ended(sessions: Sessions, database: Database) -> None:
    """Who suspects something stays signed in here; an administrator ends all of another person."""
    kept, *_ = (sign_in(database, BOB, NOW + number) for number in range(3))

    assert sessions.end_all(BOB, Actor.person(BOB, ADDRESS), keep=kept.session.id) == 2
    assert sessions.of(BOB, NOW) == [kept.session]
    assert sessions.end_all(BOB, Actor.person(ANN, ADDRESS)) == 1
    assert sessions.end_all(BOB, Actor.person(ANN, ADDRESS)) == 0

    assert done_to(database, BOB)[1:] == ["signed_in"] * 3 + ["signed_out", "sessions_ended"]


def test_the_oldest_session_ends_when_there_are_too_many(
    sessions: Sessions, database: Database
) -> None:
    """A program that signs in for every request must not fill the table, nor sign others out."""
    anns = sign_in(database, ANN, NOW)
    made = [sign_in(database, BOB, NOW + number) for number in range(MAX_SESSIONS + 2)]

    known = {session.id for session in sessions.of(BOB, NOW)}

    assert known == {one.session.id for one in made[2:]}
    assert sessions.of(ANN, NOW) == [anns.session]


def test_what_has_ended_by_itself_is_deleted(sessions: Sessions, database: Database) -> None:
    """By the next sign-in, as no other job does it."""
    sign_in(database, ANN, NOW)
    young = sign_in(database, BOB, NOW + IDLE_MS)

    with database.read() as connection:
        assert list(connection.scalars(sa.select(session_table.c.id))) == [young.session.id]


def test_only_people_sign_in(sessions: Sessions, database: Database) -> None:
    """One may be removed between the check of the password and the session."""
    removed = bob(database)
    People(database).remove(BOB, TESTER)

    with pytest.raises(NotFound):
        sessions.create(removed, None, None, NOW, is_confirmed=True)


def test_a_password_that_has_changed_meanwhile_begins_no_session(
    sessions: Sessions, database: Database
) -> None:
    """The change ends all sessions: one that began right after it would stay."""
    checked = bob(database)
    changed = People(database).set_password_hash(BOB, "another hash", TESTER)

    with pytest.raises(Conflict):
        sessions.create(checked, None, None, NOW, is_confirmed=True)

    assert sessions.of(BOB, NOW) == []
    sessions.create(changed, None, None, NOW, is_confirmed=True)
    assert len(sessions.of(BOB, NOW)) == 1


def test_a_browsers_description_is_kept_as_far_as_it_can_be(
    sessions: Sessions, database: Database
) -> None:
    """It is a client's own claim: it may be long, or no text at all."""
    sessions.create(bob(database), None, "x\0\udc80" + "y" * 10_000, NOW, is_confirmed=True)

    assert sessions.of(BOB, NOW)[0].user_agent == "x\ufffd?" + "y" * 509


def test_a_link_is_used_up_by_its_use_alone(links: SignInLinks, database: Database) -> None:
    """Programs that scan mail open every link before the person does."""
    now = database.time()
    secret = links.create(BOB, LINK_VALID_MS, TESTER)

    for _ in range(2):
        peeked = links.peek(secret, now)
        assert peeked is not None
        assert peeked.email == BOB

    redeem(database, secret, BOB, None, None)
    assert links.peek(secret, now) is None


def test_the_first_administrators_link_is_one_and_ends_with_there_being_one(
    database: Database,
) -> None:
    """Every start prints one; an old line in a terminal must not make another administrator."""
    links, now = SignInLinks(database), database.time()
    older, newer = (links.create(None, LINK_VALID_MS, TESTER) for _ in range(2))
    assert links.peek(older, now) is None
    assert isinstance(links.peek(newer, now), SignInLink)

    add_people(database)

    assert links.peek(newer, now) is None


def test_a_new_link_takes_the_place_of_the_one_before(
    links: SignInLinks, database: Database
) -> None:
    """The earlier one may have been sent to the wrong person; those of others stay."""
    anns, older, newer = (links.create(who, LINK_VALID_MS, TESTER) for who in (ANN, BOB, BOB))

    now = database.time()
    assert links.peek(older, now) is None
    assert links.peek(newer, now) is not None
    assert links.peek(anns, now) is not None


def test_a_link_that_has_expired_is_none(links: SignInLinks, database: Database) -> None:
    """The next one that is made deletes it."""
    old = links.create(BOB, 0, TESTER)
    now = database.time()
    assert links.peek(old, now) is None
    links.create(ANN, LINK_VALID_MS, TESTER)

    with database.read() as connection:
        assert list(connection.scalars(sa.select(sign_in_links.c.email))) == [ANN]


def test_only_a_person_gets_a_link_and_that_is_written_down(
    links: SignInLinks, database: Database
) -> None:
    """Who makes one could sign in as that person."""
    with pytest.raises(NotFound):
        links.create("eve@example.com", LINK_VALID_MS, TESTER)

    links.create(BOB, LINK_VALID_MS, TESTER)

    assert done_to(database, BOB) == ["added", "link_created"]
