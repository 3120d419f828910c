"""Events to be pulled, and one who pulls them, for the conformance tests."""

import json

import sqlalchemy as sa

from schemas.listings import Pulled, PullFilter
from schemas.times import now_ms
from store.engine.database import Connection, Database
from store.events import claims
from store.events.pull import pull
from store.tables import events
from tests.kit.making import a_claim
from tests.kit.waiting import wait_for

EVERYTHING = PullFilter()


def claim(connection: Connection, *event_ids: str, accepted_at: int = 1_000) -> None:
    claims.claim(
        connection, [a_claim(event_id, accepted_at=accepted_at) for event_id in event_ids], now_ms()
    )


def lay(
    database: Database,
    *rows: tuple[int, str],
    channel: str = "chn_1",
    kind: str = "message.received",
) -> None:
    """Events that were taken at these times."""
    common = {
        "type": kind,
        "timestamp": 1,
        "via_amqp": False,
        "channel_id": channel,
        "conversation_id": "c",
        "content_hash": b"",
    }
    common |= {"conflicts": 0, "callbacks": ""}
    with database.write() as connection:
        made = [
            common
            | {
                "id": one,
                "claimed_at": at,
                "accepted_at": at,
                "body": b'{"id":"%s"}' % one.encode(),
            }
            for at, one in rows
        ]
        connection.execute(sa.insert(events), made)


def ids(pulled: Pulled) -> list[str]:
    return [json.loads(body)["id"] for body in pulled.bodies]


class Puller:
    """Goes on for ever. `seen` is what came, in its order."""

    def __init__(self, database: Database, chosen: PullFilter = EVERYTHING, limit: int = 3):
        self.database, self.chosen, self.limit = database, chosen, limit
        self.cursor: str | None = None
        self.seen: list[str] = []

    def look(self) -> bool:
        """One page; whether there is more at once."""
        page = pull(self.database, self.chosen, self.limit, self.cursor)
        self.cursor = page.next_cursor
        self.seen += ids(page)
        return page.has_more

    def catch_up(self) -> list[str]:
        while self.look():
            pass
        return self.seen

    def wait_for(self, count: int) -> list[str]:
        """All that came, once there are so many: what was taken in this very millisecond comes with
        the next.
        """
        wait_for(f"{count} events to be pulled", lambda: len(self.catch_up()) >= count)
        return self.seen
