"""Dead letters among the rows of the outbox: what embedded mode has of them, and what came while no
broker answered.
"""

from collections.abc import Callable, Collection
from hashlib import sha256

from exchange.dead_letters import DeadLetter
from store.engine.database import Database
from store.events import dead_letters, outbox


class OutboxDeadLetters:
    """Rows with a reason."""

    def __init__(self, database: Database):
        self._database = database

    def count(self) -> int:
        with self._database.read() as connection:
            return outbox.dead(connection)

    def look(self, most: int) -> list[DeadLetter]:
        with self._database.read() as connection:
            rows = dead_letters.oldest(connection, most)
        return [
            DeadLetter(row.body, row.reason, row.message_id, row.accepted_at, _mark(row.id))
            for row in rows
        ]

    def replay(self, marks: Collection[str] | None, told: Callable[[], None]) -> None:
        for row_id in self._named(marks):
            with self._database.write() as connection:
                dead_letters.revive(self._database, connection, row_id)
            told()

    def drop(self, marks: Collection[str] | None, told: Callable[[], None]) -> None:
        for row_id in self._named(marks):
            with self._database.write() as connection:
                dead_letters.drop(connection, row_id)
            told()

    def _named(self, marks: Collection[str] | None) -> list[int]:
        with self._database.read() as connection:
            ids = dead_letters.ids(connection)
        return [row_id for row_id in ids if marks is None or _mark(row_id) in marks]


def _mark(row_id: int) -> str:
    """A row's id is never used again."""
    return sha256(b"outbox %d" % row_id).hexdigest()
