"""The roster: who may sign in, and as what. Each change is one transaction, with its row of the
log.

There is always an administrator, once there was one: the last one is neither removed nor made a
viewer. A removed person is signed out everywhere by the same commit. Called by the pages and the
command line.
"""

import sqlalchemy as sa

from schemas.errors import Conflict, Fault, Invalid, NotFound, StoreRefused
from schemas.people import Person, PersonAction, Role, read_email
from schemas.tokens.audit_log import Actor
from store.engine.database import Connection, Database
from store.people.log import record
from store.people.rows import end_access, lock_person, read_person
from store.tables import people, saved_views


class People:
    """The people of one database.

    Every method raises StoreUnavailable, and NotFound where a person is named that does not exist.
    """

    def __init__(self, database: Database):
        self._database = database

    def add(self, email: str, role: Role, actor: Actor) -> Person:
        """Add a person, who has no password yet.

        Raises Invalid, and Conflict for one that is there.
        """
        try:
            email = read_email(email)
        except ValueError as error:
            fault = Fault(str(error), "/email")
            raise Invalid("invalid e-mail address", faults=[fault]) from None
        try:
            return self._insert(email, role, actor)
        except StoreRefused as error:  # the key is taken: nothing else here can be refused
            raise Conflict(
                f"{email} may sign in already: change the role, or remove it first"
            ) from error

    def all(self) -> list[Person]:
        """Return everyone, by e-mail address."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(people).order_by(people.c.email)).all()
        return [read_person(row) for row in rows]

    def find(self, email: str) -> Person | None:
        """Return a person, or None."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(people).where(people.c.email == email)).one_or_none()
        return None if row is None else read_person(row)

    def get(self, email: str) -> Person:
        """Return a person."""
        if (person := self.find(email)) is None:
            raise NotFound(f"there is no person {email}")
        return person

    def set_role(self, email: str, role: Role, actor: Actor) -> Person:
        """Change what a person may do, in every session.

        Raises Conflict for the last administrator.
        """
        with self._database.write() as connection:
            _require_another_admin(connection, email, role)
            before = lock_person(connection, email).role
            if before is not role:
                details, now = {"role": (before, role)}, self._database.now(connection)
                record(connection, email, PersonAction.ROLE_CHANGED, details, actor, now)
            return _updated(connection, email, role=role.value)

    def set_password_hash(self, email: str, password_hash: str, actor: Actor) -> Person:
        """Store a new password (`schemas.passwords.password_hash`). It ends the person's links and
        sessions, which someone else may have.
        """
        with self._database.write() as connection:
            lock_person(connection, email)
            end_access(connection, email)
            now = self._database.now(connection)
            record(connection, email, PersonAction.PASSWORD_SET, {}, actor, now)
            return _updated(connection, email, password_hash=password_hash)

    def set_wants_mail(self, email: str, wanted: bool) -> Person:
        """Store whether an administrator gets mail about callbacks and tokens."""
        with self._database.write() as connection:
            lock_person(connection, email)
            return _updated(connection, email, wants_mail=wanted)

    def set_language_and_zone(self, email: str, language: str | None, zone: str | None) -> Person:
        """Store in which language and time zone a person sees the pages. The caller checks both."""
        with self._database.write() as connection:
            lock_person(connection, email)
            return _updated(connection, email, language=language, zone=zone)

    def remove(self, email: str, actor: Actor) -> None:
        """Remove a person with their saved views, and end the sessions and links. Raises Conflict
        for the last administrator.
        """
        with self._database.write() as connection:
            _require_another_admin(connection, email, None)
            person = lock_person(connection, email)
            end_access(connection, email)
            connection.execute(sa.delete(saved_views).where(saved_views.c.email == email))
            connection.execute(sa.delete(people).where(people.c.email == email))
            details, now = {"role": (person.role, None)}, self._database.now(connection)
            record(connection, email, PersonAction.REMOVED, details, actor, now)

    def _insert(self, email: str, role: Role, actor: Actor) -> Person:
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = {"email": email, "role": role.value, "created_at": now}
            connection.execute(sa.insert(people).values(row))
            record(connection, email, PersonAction.ADDED, {"role": (None, role)}, actor, now)
        return Person(email, role, now)


def _require_another_admin(connection: Connection, email: str, role: Role | None) -> None:
    """Raise Conflict when a person is the only administrator, and would no longer be one.

    All administrators stay locked, so two of them that remove each other at the same time do not
    both succeed.
    """
    if role is Role.ADMIN:
        return
    admins = connection.scalars(
        sa.select(people.c.email)
        .where(people.c.role == Role.ADMIN.value)
        .order_by(people.c.email)
        .with_for_update()
    ).all()
    if list(admins) == [email]:
        raise Conflict(
            f"{email} is the last administrator, and someone must be one: make another person an"
            " administrator first"
        )


def _updated(connection: Connection, email: str, **columns: str | bool | None) -> Person:
    row = connection.execute(
        sa.update(people).where(people.c.email == email).values(columns).returning(people)
    ).one()
    return read_person(row)
