"""Rows are locked in one order (`store.engine.bulk`), so that there is no deadlock: on PostgreSQL,
where rows have locks.

In most, a settlement that is half done holds the first of two deliveries by key and then wants the
second. Any other process that works on both has to wait for it, holding neither. The database has a
locale, to which the second is the first.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import Delivery, DeliveryState
from schemas.deliveries.recoveries import Recoverable, RecoveryQuery
from schemas.deliveries.settlement import Settlement, given_back
from schemas.times import UnixMs, now_ms
from store.deliveries import backlog, settlement
from store.engine.database import Connection, Database
from store.recoveries import candidates
from store.recoveries.scanning import CandidatePage
from store.tables import callbacks, deliveries, status_locks
from store.tokens import cancellation
from tests.kit.locks import has_waiting_locks, waiting
from tests.kit.making import a_delivery
from tests.kit.postgres import Postgres
from tests.kit.statuses import Line, a_status, failed
from tests.kit.tables import lay_tables
from tests.kit.tokens import TESTER
from tests.kit.waiting import wait_for
from tests.kit.waiting_rows import RECEIVED, Patient

NOW = UnixMs(10_000_000)
FIRST, SECOND = "evt_B", "evt_a"
"""By code points. To nearly every language small and large letters are the same at first: there A
comes before B.
"""


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    made = Database(
        postgres.fresh_database("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    )
    lay_tables(made)
    yield made
    made.close()


@pytest.fixture
def patient(database: Database) -> Patient:
    """Two deliveries wait for it: the first by key is the second by age and by when it is due."""
    made = Patient(database)
    made.put(enabled=False)
    made.wait(FIRST, NOW, due_at=NOW + 1)
    made.wait(SECOND, NOW - 1, due_at=NOW)
    return made


def answered(patient: Patient, event_id: str) -> Settlement:
    delivery: Delivery = msgspec.structs.replace(
        a_delivery(event_id, patient.id), token_id=patient.token_id
    )
    return Settlement(delivery, DeliveryState.DELIVERED)


def settle(connection: Connection, patient: Patient, event_id: str) -> None:
    settlement.settle(connection, [answered(patient, event_id)], NOW)


def release_backlog(patient: Patient) -> None:
    """The older one was held and the younger was not: they are two groups, and the older is seen to
    first.
    """
    with patient.database.write() as connection:
        connection.execute(
            sa.update(callbacks).values(held_before=NOW, backlog_pending=True, enabled=True)
        )
    with patient.database.write() as connection:
        backlog.step(connection, patient.id, None, now_ms())


JOBS: dict[str, Callable[[Patient], object]] = {
    "cancelling": lambda patient: cancellation.cancel_open(patient.database, [patient.id], "x"),
    "revoking": lambda patient: patient.tokens.revoke(patient.token_id, NOW, TESTER),
    "backlog_pending": release_backlog,
}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_bulk_work_on_deliveries_of_a_callback_waits_for_their_settlement(
    patient: Patient, job: Callable[[Patient], object]
) -> None:
    """Not half of it: a deadlock would cost one of both its transaction, and who revokes a 503."""
    with ThreadPoolExecutor(1) as thread:
        with patient.database.write() as connection:
            settle(connection, patient, FIRST)
            working = thread.submit(job, patient)
            wait_for("it to wait", lambda: working.done() or has_waiting_locks(patient.database))
            assert not working.done()
            settle(connection, patient, SECOND)
        working.result()

    assert patient.rows("state") == dict.fromkeys((FIRST, SECOND), "delivered"), (
        "delivered always wins"
    )


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_settlement_of_both_kinds_waits_for_bulk_work_on_them(
    patient: Patient, job: Callable[[Patient], object]
) -> None:
    """The second by key was delivered, the first failed and goes on: whatever becomes of each, the
    first is locked first.
    """
    failed = Settlement(
        answered(patient, FIRST).delivery, DeliveryState.PENDING, due_in_s=60, failures=1
    )

    def settle_both() -> None:
        with patient.database.write() as connection:
            settlement.settle(connection, [failed, answered(patient, SECOND)], NOW)

    with ThreadPoolExecutor(2) as threads:
        with patient.database.write() as connection:
            connection.execute(
                sa.select(deliveries).where(deliveries.c.event_id == FIRST).with_for_update()
            )
            working = threads.submit(job, patient)
            wait_for(
                "the job to wait for the first",
                lambda: working.done() or waiting(patient.database) == 1,
            )
            settling_both = threads.submit(settle_both)
            wait_for(
                "the settlement to wait behind it",
                lambda: settling_both.done() or waiting(patient.database) == 2,
            )
        working.result()
        settling_both.result()

    assert patient.rows("state")[SECOND] == "delivered"


def test_a_recovery_waits_for_an_answer_that_comes_late(patient: Patient) -> None:
    """What came meanwhile is not recovered, and the recovery goes on behind it."""
    with patient.database.write() as connection:
        connection.execute(
            sa.update(deliveries).values(
                state="exhausted", due_at=None, created_at=deliveries.c.queued_at
            )
        )
    query = RecoveryQuery(states=(Recoverable.EXHAUSTED,), since=UnixMs(0), until=UnixMs(NOW * 2))

    def look() -> CandidatePage[candidates.Candidate]:
        with patient.database.write() as connection:
            return candidates.undelivered(connection, query, DeliveryState.EXHAUSTED, None, 2, NOW)

    with ThreadPoolExecutor(1) as thread:
        with patient.database.write() as connection:
            settle(connection, patient, FIRST)
            looking = thread.submit(look)
            wait_for("it to wait", lambda: looking.done() or has_waiting_locks(patient.database))
            settle(connection, patient, SECOND)
        found = looking.result()

    assert found.found == []
    assert found.following == (NOW, FIRST, patient.id)


def test_a_probe_asks_for_status_locks_in_the_order_of_claims(database: Database) -> None:
    """The older of two statuses has to wait, and its place is the second by key. A claim of both
    messages locks the first before it.
    """
    line = Line(database)
    waits, probes = (
        a_status("evt_1", "sent", "m2", at=1_000),
        a_status("evt_2", "sent", "m1", at=2_000),
    )
    higher, awaited = (
        a_status("evt_3", "read", "m2", at=900_000),
        a_status("evt_4", "queued", "m1", at=900_000),
    )
    for one, end in (
        (waits, given_back(waits)),
        (probes, given_back(probes)),
        (higher, failed(higher, due_in_s=900.0)),
    ):
        line.claim(one)
        line.settle(end)
    line.fail()

    with ThreadPoolExecutor(2) as threads:
        with database.write() as connection:
            connection.execute(
                sa.select(status_locks).where(status_locks.c.message_id == "m1").with_for_update()
            )
            claiming = threads.submit(
                line.claim, awaited, a_status("evt_5", "queued", "m2", at=900_000)
            )
            wait_for(
                "the claim to wait for the first", lambda: claiming.done() or waiting(database) == 1
            )
            probing = threads.submit(line.probe)
            wait_for(
                "the probe to wait behind it", lambda: probing.done() or waiting(database) == 2
            )
        claiming.result()
        probing.result()


def test_deleting_a_callback_holds_it_no_longer_than_it_takes(patient: Patient) -> None:
    """While its deliveries are waited for, the process that settles them may want to report that
    one was exhausted.
    """
    with ThreadPoolExecutor(1) as thread:
        with patient.database.write() as connection:
            settle(connection, patient, FIRST)
            deleting = thread.submit(patient.callbacks.delete, patient.token_id, RECEIVED, TESTER)
            wait_for("the callback to be gone", lambda: not is_there(patient))
            assert not deleting.done()
            exhausted = msgspec.structs.replace(
                answered(patient, SECOND), state=DeliveryState.EXHAUSTED, reason="x"
            )
            settlement.settle(connection, [exhausted], NOW)
        assert deleting.result() == 0

    assert patient.rows("state") == {FIRST: "delivered", SECOND: "exhausted"}


def is_there(patient: Patient) -> bool:
    with patient.database.read() as connection:
        return connection.scalar(sa.select(sa.exists().where(callbacks.c.id == patient.id))) is True
