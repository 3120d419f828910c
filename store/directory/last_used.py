"""When each token was last used: gathered in memory, written every few seconds in one batch.

Best effort: a crash loses the last seconds, and no request waits for it. It has a thread of its
own, because a write may wait for the database where the directory's polls must not.
"""

import sqlalchemy as sa

from schemas.errors import StoreRefused, StoreUnavailable
from schemas.ids import TokenId
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.background import PeriodicThread
from store.engine.database import Database
from store.tables import tokens

FLUSH_S = 5.0
"""Seconds between two writes. Longer: `last_used_at` on the pages is older. Shorter: more writes
that no one reads.
"""

CLOSE_LIMIT_S = 2.0
"""How long a stop waits for the last write. Longer: an unavailable store delays the end of the
process. Shorter: the last uses are lost more often.
"""

_UPDATE = (
    sa.update(tokens)
    .where(tokens.c.id == sa.bindparam("used_id"))
    .where(sa.or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < sa.bindparam("at")))
    .values(last_used_at=sa.bindparam("at"))
)


class LastUsedWriter:
    """Collector of the last use of each token. Thread-safe."""

    def __init__(self, database: Database, observer: Observer):
        self._database = database
        self._last: dict[TokenId, UnixMs] = {}
        self._thread = PeriodicThread(
            "last-used",
            self.flush,
            every_s=FLUSH_S,
            observer=observer,
            close_timeout_s=CLOSE_LIMIT_S,
            finish=self.flush,
        )

    def start(self) -> None:
        """Start to write what is gathered."""
        self._thread.start()

    def close(self) -> None:
        """Stop; write what has gathered, if the store answers soon."""
        self._thread.close()

    def used(self, token_id: TokenId, at: UnixMs) -> None:
        """Note that a token was used. Cheap enough for every request."""
        self._last[token_id] = at

    def flush(self) -> None:
        """Write what has gathered; keep it when the store does not answer."""
        gathered, self._last = self._last, {}
        if not gathered:
            return
        # sorted, so that processes cannot deadlock
        rows = [{"used_id": token_id, "at": gathered[token_id]} for token_id in sorted(gathered)]
        try:
            with self._database.write() as connection:
                connection.execute(_UPDATE, rows)
        except (StoreUnavailable, StoreRefused):
            self._last = gathered | self._last
