"""The law of statuses: what a callback sees of a message never goes backwards, whatever fails,
dies, repeats or is late (docs/invariants.md#statuses-never-go-backwards).

Steps are drawn by chance: a claim of some of the events, a take, an end of one of the attempts in
flight. Several attempts are in flight at once, as of several dispatchers; one that dies leaves its
lease to lapse, its row or its message to come again.
"""

import itertools
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.deliveries.deliveries import Delivery, DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import Settlement, given_back, leased
from schemas.events.status_order import rank
from schemas.events.types import EventType
from schemas.ids import AttemptId, CallbackId, EventId
from schemas.times import UnixMs
from store.deliveries.settlement import settle
from store.deliveries.status_gate import admit
from store.engine.database import Database
from store.events import claims
from store.tables import attempts, deliveries, events, requested_attempts, status_locks
from tests.kit.delivery_rows import add_callback
from tests.kit.making import CALLBACK, TOKEN, an_attempt
from tests.kit.statuses import ORDER, a_status, a_status_claim

LEASE_MS = 25_000
RETRY_S = 5.0

EXAMPLES = 100
"""On each database. More take longer: each is a few dozen transactions."""

_SENT = ("answered", "answered", "refused", "gave up", "died after sending")
_UNSENT = ("given back", "died before sending")
_end = st.tuples(st.just("end"), st.tuples(st.integers(0, 3), st.sampled_from(_SENT + _UNSENT)))
_step = st.one_of(
    st.tuples(st.just("claim"), st.integers(1, 2)),
    st.tuples(st.just("take"), st.integers(1, 3)),
    _end,
    _end,
    st.tuples(st.just("arrive"), st.integers(0, 3)),
    st.tuples(st.just("time_out"), st.integers(0, 9)),
    st.tuples(st.just("by hand"), st.integers(0, 9)),
    st.tuples(st.just("time"), st.sampled_from([1_000, 5_000, 25_000])),
)


class World:
    """A line of dispatchers in front of one callback; time moves only by its steps."""

    def __init__(self, database: Database, statuses: list[str]) -> None:
        self.database, self.now_ms = database, 100_000
        self.claims = {f"e{n}": status for n, status in enumerate(statuses)}
        self.messages = list(self.claims)
        """Events that the exchange still holds, in order; of a dispatcher that died they come
        again.
        """
        self.flying: list[Delivery] = []
        self.arrived: set[Delivery] = set()
        self.seen: list[int] = []
        self._numbers = itertools.count()

    def claim(self, count: int) -> None:
        """The next messages. Copies match no token, but make rows of what is missing."""
        some, self.messages = self.messages[:count], self.messages[count:]
        with self.database.write() as connection:
            claimed = claims.claim(
                connection, [a_status_claim(e, self.claims[e]) for e in some], UnixMs(self.now_ms)
            )
            first = [
                a_status(e, self.claims[e], at=self.now_ms)
                for e in sorted(claimed.new, key=some.index)
            ]
            self.flying += admit(connection, first, UnixMs(self.now_ms), LEASE_MS).go

    def take(self, count: int) -> None:
        """Due rows, whether a lease on them lapsed or not."""
        with self.database.write() as connection:
            due = (
                sa.select(deliveries.c.event_id)
                .where(deliveries.c.due_at <= self.now_ms)
                .order_by(deliveries.c.due_at)
                .limit(count)
            )
            taken = [
                self._leased(connection, EventId(event_id))
                for event_id in connection.scalars(due).all()
            ]
            self.flying += admit(connection, taken, UnixMs(self.now_ms), LEASE_MS).go

    def by_hand(self, which: int) -> None:
        """Ask for an attempt of a delivery that has a row; it is tried at once."""
        with self.database.write() as connection:
            rows = (
                connection.execute(sa.select(deliveries.c.event_id).order_by(deliveries.c.event_id))
                .scalars()
                .all()
            )
            if rows:
                event_id = rows[which % len(rows)]
                asked = AttemptId(f"att_{next(self._numbers)}")
                row = {
                    "id": asked,
                    "event_id": event_id,
                    "callback_id": CALLBACK,
                    "trigger": "manual",
                    "due_at": self.now_ms,
                }
                connection.execute(sa.insert(requested_attempts).values(row))
                wanted = msgspec.structs.replace(
                    a_status(event_id, self.claims[event_id]),
                    trigger=Trigger.MANUAL,
                    attempt_id=asked,
                )
                self.flying += admit(connection, [wanted], UnixMs(self.now_ms), LEASE_MS).go

    def time_out(self, which: int) -> None:
        """A first attempt is made a leased row, and goes on."""
        if self.flying and (one := self.flying[which % len(self.flying)]).attempt_id is None:
            self._settle(leased(one, LEASE_MS / 1000))

    def arrive(self, which: int) -> None:
        """The receiver sees it, which may be long before the answer is known here."""
        if self.flying and (one := self.flying[which % len(self.flying)]) not in self.arrived:
            self.arrived.add(one)
            self.seen.append(rank(one.status or ""))

    def end(self, which: int, how: str) -> None:
        if not self.flying:
            return
        if how in _SENT:
            self.arrive(which)
        one = self.flying.pop(which % len(self.flying))
        if one in self.arrived and how in _UNSENT:
            how = "died after sending"
        if how.startswith("died"):
            self._die(one)
        elif how == "given back":
            self._settle(given_back(one))
        else:
            self._settle(_outcome(one, how))

    def time(self, ms: int) -> None:
        """Attempts end before their leases do. A process that is frozen beyond is not part of the
        promise.
        """
        self.now_ms += ms
        if ms >= LEASE_MS:
            while self.flying:
                self.end(0, "answered")

    def finish(self) -> None:
        """Nothing fails any more: everything has to come to its end, however often rows are looked
        at.
        """
        for _ in range(60):
            self.claim(len(self.messages))
            while self.flying:
                self.end(0, "answered")
            if not self.messages and "pending" not in self.states().values():
                return
            self.now_ms += LEASE_MS
            self.take(99)
        raise AssertionError(f"not all came to an end: {self.states()}")

    def states(self) -> dict[str, str]:
        with self.database.read() as connection:
            return {row.event_id: row.state for row in connection.execute(sa.select(deliveries))}

    def _die(self, one: Delivery) -> None:
        """What has no row comes again as a message."""
        if one.attempt_id is None and one.event_id not in self.states():
            self.messages.append(one.event_id)

    def _settle(self, settlement: Settlement) -> None:
        with self.database.write() as connection:
            settle(connection, [settlement], UnixMs(self.now_ms))

    def _leased(self, connection: Any, event_id: EventId) -> Delivery:
        values = {"lease": deliveries.c.lease + 1, "leased": True, "due_at": self.now_ms + LEASE_MS}
        row = connection.execute(
            sa.update(deliveries)
            .where(deliveries.c.event_id == event_id)
            .values(values)
            .returning(deliveries)
        ).one()
        made = connection.scalar(sa.select(sa.func.count()).where(attempts.c.event_id == event_id))
        return Delivery(
            event_id, CallbackId(row.callback_id), TOKEN, EventType.MESSAGE_STATUS,
            row.conversation_id, "chn_1", b"", UnixMs(0),
            UnixMs(row.created_at), UnixMs(row.queued_at), message_id=row.message_id,
            status=row.status, lease=row.lease, failures=row.failures, number=made + 1,
        )  # fmt: skip


def _outcome(one: Delivery, how: str) -> Settlement:
    if how == "answered":
        return Settlement(
            one,
            DeliveryState.DELIVERED,
            failures=one.failures,
            attempt=an_attempt(number=one.number),
        )
    attempt = an_attempt(Outcome.HTTP_5XX, 500, one.number)
    if one.is_requested:
        return Settlement(one, None, attempt=attempt)
    if how == "gave up":
        return Settlement(
            one,
            DeliveryState.EXHAUSTED,
            reason="gave up",
            failures=one.failures + 1,
            attempt=attempt,
        )
    return Settlement(
        one, DeliveryState.PENDING, due_in_s=RETRY_S, failures=one.failures + 1, attempt=attempt
    )


@pytest.fixture
def store(database: Database) -> Database:
    """With the callback: copies make rows only for those that were not deleted. Hypothesis uses it
    many times: see `clear`.
    """
    if database.dialect == "sqlite":
        sa.event.listen(
            database.engine,
            "connect",
            lambda connection, _: connection.execute("PRAGMA synchronous=OFF"),
        )
        database.engine.dispose()
    add_callback(database, kind="message.status")
    return database


def clear(database: Database) -> None:
    with database.write() as connection:
        for table in (events, deliveries, attempts, requested_attempts, status_locks):
            connection.execute(sa.delete(table))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=EXAMPLES,
)
@given(
    statuses=st.lists(st.sampled_from(ORDER), min_size=2, max_size=8),
    repeated=st.lists(st.integers(0, 7), max_size=3),
    steps=st.lists(_step, min_size=6, max_size=30),
)
def test_what_a_callback_sees_of_a_message_never_decreases(
    store: Database, statuses: list[str], repeated: list[int], steps: list[tuple[str, Any]]
) -> None:
    """Any statuses in any order, twice by an id of their own or by the same; then everything ends,
    and the highest has arrived.
    """
    clear(store)
    world = World(store, statuses)
    world.messages += [f"e{n % len(statuses)}" for n in repeated]

    for name, drawn in steps:
        step = getattr(world, name.replace(" ", "_"))
        step(*drawn) if isinstance(drawn, tuple) else step(drawn)
    world.finish()

    assert world.seen == sorted(world.seen)
    states = world.states()
    assert set(states.values()) <= {"delivered", "superseded", "exhausted"}
    assert set(states) == set(world.claims)
    highest = max(map(rank, statuses))
    assert any(
        states[e] != "superseded" for e, status in world.claims.items() if rank(status) == highest
    )
