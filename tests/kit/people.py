"""People for tests, in a database."""

import sqlalchemy as sa

from schemas.people import Person, Role
from schemas.times import UnixMs
from store.engine.database import Database
from store.people.log import list_people_changes
from store.people.people import People
from store.people.sessions import NewSession, Sessions
from store.tables import sessions
from tests.kit.tokens import TESTER

ANN, BOB = "ann@example.com", "bob@example.com"
ADDRESS = "192.0.2.7"


def add_people(database: Database) -> tuple[Person, Person]:
    """Ann is the administrator, Bob a viewer."""
    people = People(database)
    return people.add(ANN, Role.ADMIN, TESTER), people.add(BOB, Role.VIEWER, TESTER)


def sign_in(database: Database, email: str, now: int) -> NewSession:
    person = People(database).get(email)
    return Sessions(database).create(person, ADDRESS, "a browser", UnixMs(now), is_confirmed=True)


def done_to(database: Database, email: str) -> list[str]:
    """What was done to a person, oldest first."""
    with database.read() as connection:
        rows = list_people_changes(connection, 100, email=email).rows
    return [change.action.value for change in reversed(rows)]


def let_minutes_pass(database: Database, minutes: float) -> None:
    """Since the password was given."""
    with database.write() as connection:
        earlier = sessions.c.confirmed_at - round(minutes * 60_000)
        connection.execute(sa.update(sessions).values(confirmed_at=earlier))
