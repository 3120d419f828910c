"""Sessions: who is signed in, and from where. A session is found by its secret, of which only the
hash is stored, so that every process knows at once which ones have ended.

Called by the pages. `now` is the store's time everywhere (`Database.time`).
"""

from dataclasses import dataclass, field

import sqlalchemy as sa

from schemas.errors import Conflict
from schemas.ids import SessionId, new_session_id
from schemas.people import (
    Person,
    PersonAction,
    Session,
    new_sign_in_secret,
    sign_in_hash,
)
from schemas.texts import storable
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from store.engine.database import Connection, Database
from store.people.log import record
from store.people.rows import lock_person, read_person, read_session
from store.tables import people, sessions

_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS

IDLE_MS = 14 * _DAY_MS
"""Milliseconds after which a session ends that is not used. Longer: a stolen cookie works longer.
Shorter: people sign in more often.
"""

LIFE_MS = 90 * _DAY_MS
"""Milliseconds after which a session ends although it is used. Longer and shorter: as above."""

SEEN_EVERY_MS = _MINUTE_MS
"""Milliseconds between two writes of when a session was used. Longer: the list of sessions is less
exact. Shorter: more commits.
"""

MAX_SESSIONS = 50
"""Sessions of one person. More: a program that signs in for every request fills the table. Fewer:
people with many browsers are signed out.
"""

_MAX_USER_AGENT = 512
"""Characters of a browser's description that are kept."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just created, with what its cookie is to hold."""

    session: Session
    secret: str = field(repr=False)


class Sessions:
    """The sessions of one database. Every method raises StoreUnavailable."""

    def __init__(self, database: Database):
        self._database = database

    def create(
        self,
        person: Person,
        address: str | None,
        user_agent: str | None,
        now: UnixMs,
        *,
        is_confirmed: bool,
    ) -> NewSession:
        """Sign a person in. The oldest session ends when there are too many, and what has expired
        is deleted. `is_confirmed`: the person just proved who they are.

        Raises NotFound, and Conflict when the password has changed since the person was read: that
        ends all sessions, so the old one must begin none.
        """
        secret = new_sign_in_secret()
        session = Session(
            id=new_session_id(),
            email=person.email,
            created_at=now,
            seen_at=now,
            confirmed_at=now if is_confirmed else None,
            address=address,
            user_agent=user_agent and storable(user_agent)[:_MAX_USER_AGENT],
        )
        with self._database.write() as connection:
            if lock_person(connection, person.email).password_hash != person.password_hash:
                raise Conflict("the password has changed meanwhile: sign in again")
            connection.execute(sa.delete(sessions).where(sa.not_(is_live(now))))
            connection.execute(sa.insert(sessions).values(_columns(session, secret)))
            _drop_surplus(connection, person.email)
            actor = Actor.person(person.email, address)
            record(connection, person.email, PersonAction.SIGNED_IN, {}, actor, now)
        return NewSession(session, secret)

    def find(self, secret_hash: bytes, now: UnixMs) -> tuple[Session, Person] | None:
        """Return the session with this secret (`sign_in_hash`) and its person; None: there is none,
        or it has ended.
        """
        wanted = (sessions.c.secret_hash == secret_hash, is_live(now))
        with self._database.read() as connection:
            row = connection.execute(sa.select(sessions).where(*wanted)).one_or_none()
            if row is None:
                return None
            person = connection.execute(
                sa.select(people).where(people.c.email == row.email)
            ).one_or_none()
        return None if person is None else (read_session(row), read_person(person))

    def touch(self, session: Session, now: UnixMs) -> None:
        """Note that a session was used. Writes at most once a minute."""
        if now - session.seen_at < SEEN_EVERY_MS:
            return
        with self._database.write() as connection:
            connection.execute(
                sa.update(sessions)
                .where(sessions.c.id == session.id, sessions.c.seen_at < now)
                .values(seen_at=now)
            )

    def confirm(self, session_id: SessionId, now: UnixMs) -> None:
        """Note that the person gave the password again in this session."""
        with self._database.write() as connection:
            connection.execute(
                sa.update(sessions).where(sessions.c.id == session_id).values(confirmed_at=now)
            )

    def of(self, email: str, now: UnixMs) -> list[Session]:
        """Return a person's sessions, the one that was used last first. They are at most
        `MAX_SESSIONS`.
        """
        c = sessions.c
        query = sa.select(sessions).where(c.email == email, is_live(now))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(c.seen_at.desc(), c.id.desc())).all()
        return [read_session(row) for row in rows]

    def end(self, email: str, session_id: SessionId, actor: Actor) -> bool:
        """End a session of this person. Return whether there was one."""
        return bool(self._end(email, sessions.c.id == session_id, actor))

    def end_all(self, email: str, actor: Actor, keep: SessionId | None = None) -> int:
        """End all sessions of a person, but the one to keep. Return how many have ended."""
        return self._end(email, sa.true() if keep is None else sessions.c.id != keep, actor)

    def _end(self, email: str, which: sa.ColumnElement[bool], actor: Actor) -> int:
        with self._database.write() as connection:
            ended = connection.execute(
                sa.delete(sessions).where(sessions.c.email == email, which)
            ).rowcount
            if ended:
                own = actor.email == email
                action = PersonAction.SIGNED_OUT if own else PersonAction.SESSIONS_ENDED
                details, now = {"sessions": (ended, 0)}, self._database.now(connection)
                record(connection, email, action, details, actor, now)
        return ended


def is_live(now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that a session has not ended by itself."""
    return sa.and_(sessions.c.seen_at > now - IDLE_MS, sessions.c.created_at > now - LIFE_MS)


def _drop_surplus(connection: Connection, email: str) -> None:
    """End the oldest sessions of a person who has too many."""
    newest = (
        sa.select(sessions.c.id)
        .where(sessions.c.email == email)
        .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        .limit(MAX_SESSIONS)
    )
    kept = connection.scalars(newest).all()
    if len(kept) == MAX_SESSIONS:
        connection.execute(
            sa.delete(sessions).where(sessions.c.email == email, sessions.c.id.not_in(kept))
        )


def _columns(session: Session, secret: str) -> dict[str, object]:
    return {
        "id": session.id,
        "secret_hash": sign_in_hash(secret),
        "email": session.email,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "confirmed_at": session.confirmed_at,
        "address": session.address,
        "user_agent": session.user_agent,
    }
