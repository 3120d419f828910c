"""Links that sign in once: a person's first one, with which the password is set, and the one of the
first administrator. Only the hash of a link's secret is stored.

Called by the pages and the command line. `now` is the store's time (`Database.time`).
"""

import sqlalchemy as sa

from schemas.people import PersonAction, Role, SignInLink, new_sign_in_secret, sign_in_hash
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from store.engine.database import Connection, Database
from store.engine.sql_types import SqlRow
from store.people.log import record
from store.people.rows import lock_person
from store.tables import people, sign_in_links

LINK_VALID_MS = 24 * 60 * 60 * 1000
"""Milliseconds for which a person's link is valid. Longer: one that lies in a mailbox works longer.
Shorter: people find it expired in the morning.
"""

_links = sign_in_links.c
_an_admin = sa.select(people.c.email).where(people.c.role == Role.ADMIN.value).limit(1)


class SignInLinks:
    """The links of one database. Every method raises StoreUnavailable."""

    def __init__(self, database: Database):
        self._database = database

    def create(self, email: str | None, valid_ms: int, actor: Actor) -> str:
        """Create a link and return its secret. It takes the place of an earlier one, which may have
        been sent to the wrong person. Links that have expired are deleted.

        With an e-mail address it signs that person in (raises NotFound), which is logged, as it is
        as good as a password. With None it makes the first administrator, and is void once there is
        one.
        """
        secret = new_sign_in_secret()
        with self._database.write() as connection:
            now = self._database.now(connection)
            if email is not None:
                lock_person(connection, email)
                record(connection, email, PersonAction.LINK_CREATED, {}, actor, now)
            earlier = _links.email.is_(None) if email is None else _links.email == email
            over = sa.or_(_links.expires_at <= now, earlier)
            connection.execute(sa.delete(sign_in_links).where(over))
            row = {
                "secret_hash": sign_in_hash(secret),
                "email": email,
                "expires_at": now + valid_ms,
            }
            connection.execute(sa.insert(sign_in_links).values(row))
        return secret

    def peek(self, secret: str, now: UnixMs) -> SignInLink | None:
        """Return what a link stands for, without using it up; None: it is used, expired or wrong.

        Programs that scan mail open links, so opening one must not use it.
        """
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(sign_in_links).where(_links.secret_hash == sign_in_hash(secret))
            ).one_or_none()
            return _link(connection, row, now)


def _link(connection: Connection, row: SqlRow | None, now: UnixMs) -> SignInLink | None:
    if row is None or row.expires_at <= now:
        return None
    if row.email is None and connection.execute(_an_admin).one_or_none():
        return None
    return SignInLink(row.email, UnixMs(row.expires_at))
