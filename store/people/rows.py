"""Rows of people and sessions as values of `schemas.people`. Called within this room."""

import sqlalchemy as sa

from schemas.errors import NotFound
from schemas.ids import SessionId
from schemas.people import Person, Role, Session
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.sql_types import SqlRow
from store.tables import people, sessions, sign_in_links


def lock_person(connection: Connection, email: str) -> Person:
    """Return a person, whom no other transaction changes or removes until the commit.

    Raises NotFound.
    """
    row = connection.execute(
        sa.select(people).where(people.c.email == email).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no person {email}")
    return read_person(row)


def end_access(connection: Connection, email: str) -> None:
    """End a person's sessions and links."""
    connection.execute(sa.delete(sign_in_links).where(sign_in_links.c.email == email))
    connection.execute(sa.delete(sessions).where(sessions.c.email == email))


def read_person(row: SqlRow) -> Person:
    """Return the person of a row of `people`."""
    return Person(
        email=row.email,
        role=Role(row.role),
        created_at=UnixMs(row.created_at),
        password_hash=row.password_hash,
        language=row.language,
        zone=row.zone,
        wants_mail=row.wants_mail,
    )


def read_session(row: SqlRow) -> Session:
    """Return the session of a row of `sessions`."""
    return Session(
        id=SessionId(row.id),
        email=row.email,
        created_at=UnixMs(row.created_at),
        seen_at=UnixMs(row.seen_at),
        confirmed_at=row.confirmed_at,
        address=row.address,
        user_agent=row.user_agent,
    )
