"""Using a sign-in link: it is used up and does what it stands for, in one transaction, so that an
outage in between leaves neither a dead link nor half an account.

Called by the pages. People are locked before links, as everywhere in this room.
"""

import sqlalchemy as sa

from schemas.errors import Conflict, NotFound
from schemas.people import Person, PersonAction, Role, sign_in_hash
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from store.engine.database import Connection, Database
from store.people.log import record
from store.people.rows import end_access, lock_person, read_person
from store.tables import people, sign_in_links

_links = sign_in_links.c


def redeem(
    database: Database,
    secret: str,
    first_email: str,
    password_hash: str | None,
    address: str | None,
) -> Person | None:
    """Use a link up, and return who is signed in by it; None: it is used, expired or wrong, or it
    would make a second first administrator. Of several that try at the same time one gets it.

    A first administrator is added as `first_email`, read by `read_email`. With a hash the person
    has a new password, which ends all other sessions and links. Raises StoreUnavailable, and
    Conflict when someone who is no administrator has the address: then the link lives on.
    """
    with database.write() as connection:
        now = database.now(connection)
        found = connection.execute(
            sa.select(_links.email).where(
                _links.secret_hash == sign_in_hash(secret), _links.expires_at > now
            )
        ).one_or_none()
        if found is None:
            return None
        if found.email is None:
            person = _first_administrator(connection, secret, first_email, address, now)
        else:
            person = _known_person(connection, secret, found.email)
        if person is None or password_hash is None:
            return person
        return _with_password(connection, person, password_hash, address, now)


def _known_person(connection: Connection, secret: str, email: str) -> Person | None:
    try:
        person = lock_person(connection, email)  # removing a person deletes the links, afterwards
    except NotFound:  # removed since the link was found
        return None
    used = connection.execute(
        sa.delete(sign_in_links).where(_links.secret_hash == sign_in_hash(secret))
    )
    return person if used.rowcount else None


def _first_administrator(
    connection: Connection, secret: str, email: str, address: str | None, now: UnixMs
) -> Person | None:
    """Add the first administrator. All links of that kind are locked first and end together: two of
    them that are used at the same time make one administrator.
    """
    firsts = connection.scalars(
        sa.select(_links.secret_hash)
        .where(_links.email.is_(None))
        .order_by(_links.secret_hash)
        .with_for_update()
    ).all()
    if sign_in_hash(secret) not in firsts or _has_administrator(connection):
        return None
    if connection.scalar(sa.select(people.c.email).where(people.c.email == email)):
        raise Conflict(f"{email} is no administrator, but may sign in already")
    connection.execute(sa.delete(sign_in_links).where(_links.email.is_(None)))
    row = {"email": email, "role": Role.ADMIN.value, "created_at": now}
    connection.execute(sa.insert(people).values(row))
    actor, details = Actor.person(email, address), {"role": (None, Role.ADMIN)}
    record(connection, email, PersonAction.ADDED, details, actor, now)
    return Person(email, Role.ADMIN, now)


def _with_password(
    connection: Connection, person: Person, password_hash: str, address: str | None, now: UnixMs
) -> Person:
    end_access(connection, person.email)
    actor = Actor.person(person.email, address)
    record(connection, person.email, PersonAction.PASSWORD_SET, {}, actor, now)
    row = connection.execute(
        sa.update(people)
        .where(people.c.email == person.email)
        .values(password_hash=password_hash)
        .returning(people)
    ).one()
    return read_person(row)


def _has_administrator(connection: Connection) -> bool:
    query = sa.select(people.c.email).where(people.c.role == Role.ADMIN.value).limit(1)
    return connection.scalar(query) is not None
