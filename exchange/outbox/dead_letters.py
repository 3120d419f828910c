"""Dead letters among the rows of the outbox: all of them in embedded mode, and otherwise those that
came while no broker answered.
"""

from collections.abc import Callable, Collection
from hashlib import sha256

from exchange.dead_letters import DeadLetter
from store.engine.database import Database
from store.events import dead_letters, outbox


class OutboxDeadLetters:
    """The rows of the outbox that have a reason."""

    def __init__(self, database: Database):
        self._database = database

    def count(self) -> int:
        """Return how many letters there are."""
        with self._database.read() as connection:
            return outbox.dead(connection)

    def peek(self, most: int) -> list[DeadLetter]:
        """Return the first letters, which stay where they are."""
        with self._database.read() as connection:
            rows = dead_letters.oldest(connection, most)
        return [
            DeadLetter(row.body, row.reason, row.message_id, row.accepted_at, _mark(row.id))
            for row in rows
        ]

    def replay(self, marks: Collection[str] | None, on_progress: Callable[[], None]) -> None:
        """Turn letters into ordinary rows of the outbox."""
        for row_id in self._selected(marks):
            with self._database.write() as connection:
                dead_letters.requeue(self._database, connection, row_id)
            on_progress()

    def drop(self, marks: Collection[str] | None, on_progress: Callable[[], None]) -> None:
        """Delete letters."""
        for row_id in self._selected(marks):
            with self._database.write() as connection:
                dead_letters.drop(connection, row_id)
            on_progress()

    def _selected(self, marks: Collection[str] | None) -> list[int]:
        with self._database.read() as connection:
            ids = dead_letters.ids(connection)
        return [row_id for row_id in ids if marks is None or _mark(row_id) in marks]


def _mark(row_id: int) -> str:
    """Return the mark of a row, whose id is never used again."""
    return sha256(b"outbox %d" % row_id).hexdigest()
