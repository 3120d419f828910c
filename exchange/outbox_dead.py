"""Dead letters among the rows of the outbox: what embedded mode has of them, and what came while no broker answered."""

from collections.abc import Callable, Collection

from exchange.dead import DeadLetter
from store import dead_rows, outbox
from store.database import Database


class OutboxDeadLetters:
    """Rows with a reason."""

    def __init__(self, database: Database):
        self._database = database

    def count(self) -> int:
        with self._database.read() as connection:
            return outbox.dead(connection)

    def look(self, most: int) -> list[DeadLetter]:
        with self._database.read() as connection:
            rows = dead_rows.oldest(connection, most)
        return [DeadLetter(row.body, row.reason, None, row.accepted_at) for row in rows]

    def replay(self, numbers: Collection[int], told: Callable[[], None]) -> None:
        for row_id in self._named(numbers):
            with self._database.write() as connection:
                dead_rows.revive(self._database, connection, row_id)
            told()

    def drop(self, numbers: Collection[int], told: Callable[[], None]) -> None:
        for row_id in self._named(numbers):
            with self._database.write() as connection:
                dead_rows.drop(connection, row_id)
            told()

    def _named(self, numbers: Collection[int]) -> list[int]:
        with self._database.read() as connection:
            ids = dead_rows.oldest_ids(connection, max(numbers, default=0))
        return [row_id for number, row_id in enumerate(ids, 1) if number in numbers]
