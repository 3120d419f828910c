"""Throttling of guesses at passwords: per account and per network, over all processes.

An attempt counts as failed from its beginning until `succeeded` takes it back. So those that guess
at the same time, at several processes, learn no more than one after the other. Called by sign-in,
before it hashes the password. `now` is the store's time (`Database.time`).
"""

import math
from collections.abc import Sequence

import sqlalchemy as sa

from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection, Database
from store.engine.sql_types import SqlRow
from store.tables import sign_in_failures

FREE_FAILURES = 5
"""Failures of an account after which the next attempt has to wait. More: more guesses. Fewer:
people who mistype a password wait.
"""

FREE_OF_NETWORK = 20
"""The same for a network, over all accounts. More: more guesses. Fewer: an office behind one
address waits because several people sign in there at the same moment, or mistype.
"""

FIRST_PAUSE_S = 5
"""Seconds to wait after that many failures; each further one doubles them. More and fewer: as
above.
"""

LONGEST_PAUSE_S = 15 * 60
"""Seconds to wait at most. More: someone who guesses on purpose locks a person out for longer.
Fewer: more guesses in a day.
"""

FORGOTTEN_MS = 24 * 60 * 60 * 1000
"""Milliseconds after the last failure when all are forgotten. More: a shared network stays slow for
longer. Less: more guesses.
"""

_c = sign_in_failures.c
_ACCOUNT, _NETWORK = "account ", "network "

_LOCKED = bulk.Upsert([], computed={"failures": _c.failures})
"""A row that is there stays as it is, and is locked."""


class SignInFailures:
    """The failures of one database. Every method raises StoreUnavailable."""

    def __init__(self, database: Database):
        self._database = database

    def attempt(self, email: str | None, network: str, now: UnixMs) -> int:
        """Count an attempt to sign in as failed, unless it has to wait. Return the seconds to wait;
        0: it was counted, and its password may be judged.

        `email`: the account, by `read_email`, whether or not it exists; None: the input is no
        e-mail address. `network`: what one client controls, by `client_network`.
        """
        keys = _keys(email, network)
        with self._database.read() as connection:  # who has to wait costs no commit
            query = sa.select(sign_in_failures).where(_c.key.in_(keys))
            if wait_s := _wait_s(connection.execute(query).all(), now):
                return wait_s
        rows = [{"key": key, "failures": 0, "last_at": now} for key in keys]
        with self._database.write() as connection:
            known = bulk.upsert(connection, sign_in_failures, rows, _LOCKED)
            if wait_s := _wait_s(known, now):
                return wait_s
            is_old = _c.last_at <= now - FORGOTTEN_MS
            connection.execute(
                sa.update(sign_in_failures)
                .where(_c.key.in_(keys))
                .values(failures=sa.case((is_old, 1), else_=_c.failures + 1), last_at=now)
            )
            _delete_old(connection, now)
        return 0

    def succeeded(self, email: str, network: str) -> None:
        """Forget the failures of an account that was signed in to, and take those from its network.

        Guesses at other accounts from there stay counted: else someone with an account of their own
        could guess on.
        """
        account, origin = _account(email), _network(network)
        with self._database.write() as connection:
            forgotten = connection.execute(
                sa.delete(sign_in_failures).where(_c.key == account).returning(_c.failures)
            ).scalar_one_or_none()
            left = _c.failures - (forgotten or 0)
            connection.execute(
                sa.update(sign_in_failures)
                .where(_c.key == origin)
                .values(failures=sa.case((left > 0, left), else_=0))
            )


def pause_s(failures: int, free: int) -> int:
    """Return how many seconds after the last of so many failures the next attempt may be made."""
    if failures < free:
        return 0
    doublings = min(failures - free, LONGEST_PAUSE_S.bit_length())
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S << doublings)


def _delete_old(connection: Connection, now: UnixMs) -> None:
    """Delete old failures. It waits for no other transaction, as this one has rows locked."""
    old = sa.select(_c.key).where(_c.last_at <= now - FORGOTTEN_MS)
    free = old.with_for_update(skip_locked=True)
    connection.execute(sa.delete(sign_in_failures).where(_c.key.in_(free)))


def _wait_s(rows: Sequence[SqlRow], now: UnixMs) -> int:
    waits_ms = [_left_ms(row.key, row.failures, row.last_at, now) for row in rows]
    return math.ceil(max(waits_ms, default=0) / 1000)


def _left_ms(key: str, failures: int, last_at: int, now: UnixMs) -> int:
    """Return how much of a pause is left. A clock that was set back makes it no longer."""
    free = FREE_FAILURES if key.startswith(_ACCOUNT) else FREE_OF_NETWORK
    since_ms = max(0, now - last_at)
    return 0 if since_ms >= FORGOTTEN_MS else max(0, 1000 * pause_s(failures, free) - since_ms)


def _keys(email: str | None, network: str) -> list[str]:
    """Return the keys, in the order in which rows are locked."""
    return sorted([_network(network)] if email is None else [_account(email), _network(network)])


def _account(email: str) -> str:
    return _ACCOUNT + email


def _network(network: str) -> str:
    return _NETWORK + network
