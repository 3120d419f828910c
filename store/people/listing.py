"""The roster as the pages list it: each person with what is known of their sessions.

Called by the pages. `now` is the store's time (`Database.time`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from schemas.listings import Page
from schemas.people import Person, PersonAction
from schemas.times import UnixMs
from store.engine.database import Connection
from store.engine.paging import Row, after, page
from store.people.rows import read_person
from store.people.sessions import is_live
from store.tables import people, people_log, sessions

_BY_THEMSELVES = (PersonAction.SIGNED_IN.value, PersonAction.SIGNED_OUT.value)


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A person as lists show them."""

    person: Person
    """The person."""

    sessions: int
    """In how many browsers the person is signed in."""

    seen_at: UnixMs | None
    """When the person was last here, to a minute; None: never, or longer ago than the log goes
    back.
    """


def list_people(
    connection: Connection, now: UnixMs, limit: int, cursor: str | None = None
) -> Page[ListedPerson]:
    """Return a page of the people who may sign in, by e-mail address.

    Raises Invalid for a malformed cursor.
    """
    key = [people.c.email]
    query = (
        _with_sessions(now)
        .where(*after(key, cursor, descending=False))
        .order_by(people.c.email)
        .limit(limit + 1)
    )
    rows = connection.execute(query).all()
    logged = _last_logged(connection, [row.email for row in rows])
    return page(rows, limit, lambda row: (row.email,), lambda shown: _shaped(shown, logged))


def find_listed(connection: Connection, now: UnixMs, email: str) -> ListedPerson | None:
    """Return one person as lists show them, or None."""
    rows = connection.execute(_with_sessions(now).where(people.c.email == email)).all()
    return next(iter(_shaped(rows, _last_logged(connection, [email]))), None)


def _with_sessions(now: UnixMs) -> sa.Select[tuple[object, ...]]:
    live = sa.and_(sessions.c.email == people.c.email, is_live(now))
    return (
        sa.select(
            people,
            sa.func.count(sessions.c.id).label("sessions"),
            sa.func.max(sessions.c.seen_at).label("seen_at"),
        )
        .outerjoin(sessions, live)
        .group_by(people.c.email)
    )


def _last_logged(connection: Connection, emails: Sequence[str]) -> Mapping[str, int]:
    """Return when each person last signed in or out: a session that has ended is no longer there
    to be asked.
    """
    c = people_log.c
    query = (
        sa.select(c.email, sa.func.max(c.at))
        .where(c.email.in_(emails), c.action.in_(_BY_THEMSELVES))
        .group_by(c.email)
    )
    return {email: at for email, at in connection.execute(query).all()}  # noqa: C416 - typed


def _shaped(rows: Sequence[Row], logged: Mapping[str, int]) -> list[ListedPerson]:
    return [
        ListedPerson(
            read_person(row),
            row.sessions,
            UnixMs(seen) if (seen := max(row.seen_at or 0, logged.get(row.email, 0))) else None,
        )
        for row in rows
    ]
