"""When each token was last used: gathered in memory, written every few seconds in one batch.

Best effort: a crash loses the last seconds, and no request waits for it. On a thread of its own,
because a write may wait for the database where the directory's polls must not.
"""

import threading

import sqlalchemy as sa

from schemas.errors import StoreRefused, StoreUnavailable
from schemas.ids import TokenId
from schemas.times import UnixMs
from store.engine.database import Database
from store.tables import tokens

FLUSH_S = 5.0
"""Longer: `last_used_at` on the pages is older. Shorter: more writes that nobody reads."""

CLOSE_LIMIT_S = 2.0
"""How long a stop waits for the last write. Longer: a store that is away delays the end of the
process.
"""

_UPDATE = (
    sa.update(tokens)
    .where(tokens.c.id == sa.bindparam("used_id"))
    .where(sa.or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < sa.bindparam("at")))
    .values(last_used_at=sa.bindparam("at"))
)


class LastUsedWriter:
    """Thread-safe; `used` is cheap enough for every request."""

    def __init__(self, database: Database):
        self._database = database
        self._last: dict[TokenId, UnixMs] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._flush_for_ever, name="ringback-usage", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What has gathered is written, if the store answers soon."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_LIMIT_S)

    def used(self, token_id: TokenId, at: UnixMs) -> None:
        self._last[token_id] = at

    def flush(self) -> None:
        """Write what has gathered; keep it when the store does not answer."""
        gathered, self._last = self._last, {}
        if not gathered:
            return
        rows = [
            {"used_id": token_id, "at": gathered[token_id]} for token_id in sorted(gathered)
        ]  # sorted: processes cannot deadlock
        try:
            with self._database.write() as connection:
                connection.execute(_UPDATE, rows)
        except (StoreUnavailable, StoreRefused):
            self._last = gathered | self._last

    def _flush_for_ever(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            self.flush()
        self.flush()
