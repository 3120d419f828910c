"""Deliveries that end without an attempt are counted where they end, whichever part ends them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding
from schemas.events.types import EventType
from schemas.ids import new_test_event_id
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import OnResume
from store.deliveries import backlog, due, probes, withdrawal
from store.deliveries.due import MAX_LEASES
from store.engine.database import Database
from store.tables import callbacks, deliveries
from tests.kit.delivery_rows import add_delivery
from tests.kit.figures import ended_rows, ends, kept
from tests.kit.making import CALLBACK
from tests.kit.statuses import Line, a_status, delivered
from tests.kit.tokens import TESTER
from tests.kit.waiting_rows import RECEIVED, Patient

NOW = UnixMs(now_ms())
LONG_AGO = NOW - 3_600_000
HOUR_MS = 3_600_000


def discard(patient: Patient) -> None:
    """A person switches the callback on again, and says that what was held is discarded."""
    patient.put(enabled=False)
    patient.put(enabled=True, held=OnResume.DISCARD)
    with patient.database.write() as connection:
        backlog.step(connection, patient.id, None, UnixMs(now_ms() + 1))


def revoke(patient: Patient) -> None:
    patient.tokens.revoke(patient.token_id, NOW, TESTER)


def delete(patient: Patient) -> None:
    patient.callbacks.delete(patient.token_id, RECEIVED, TESTER)


def lose(patient: Patient) -> None:
    """A dispatcher finds due rows of a callback that is deleted."""
    with patient.database.write() as connection:
        connection.execute(sa.delete(callbacks))
        withdrawal.cancel(connection, patient.id, NOW)


def hide(patient: Patient) -> None:
    """The token may not see the channel any more, and a probe finds out."""
    patient.found(HealthFinding.FAILING, LONG_AGO)
    patient.tokens.change(
        patient.token_id, lambda fields: replace(fields, channels=frozenset({"chn_2"})), TESTER
    )
    with patient.database.write() as connection:
        probes.lease_probe(connection, patient.id, UnixMs(NOW + HOUR_MS), 25_000)


def wait_too_long(patient: Patient) -> None:
    patient.found(HealthFinding.FAILING, LONG_AGO)
    with patient.database.write() as connection:
        probes.exhaust_aged(connection, patient.id, 1_000, "too long", NOW)


def poison(patient: Patient) -> None:
    with patient.database.write() as connection:
        connection.execute(sa.update(deliveries).values(lease_count=MAX_LEASES))
        due.give_up(connection, patient.id, ["evt_1", "evt_2", "evt_3"], NOW)


WAYS: dict[Callable[[Patient], None], str] = {
    discard: "cancelled",
    revoke: "cancelled",
    delete: "cancelled",
    lose: "cancelled",
    hide: "cancelled",
    wait_too_long: "exhausted",
    poison: "exhausted",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_ends_unsent_is_counted(database: Database, way: Callable[[Patient], None]) -> None:
    """In the figures of its type and of its callback. A test of the callback is not."""
    patient = Patient(database)
    for number in range(1, 4):
        patient.wait(f"evt_{number}", LONG_AGO + number)
    add_delivery(
        database,
        new_test_event_id(),
        patient.id,
        token_id=patient.token_id,
        queued_at=LONG_AGO + 9,
        due_at=LONG_AGO + 9,
    )

    way(patient)

    by_type, by_callback = kept(database)
    assert ended_rows(database) == Counter({WAYS[way]: 3})
    assert ends(by_type) == ends(by_callback) == ended_rows(database)
    assert (set(by_type), set(by_callback)) == ({RECEIVED}, {patient.id})


def test_slices_of_one_thread_add_up_in_one_row(database: Database) -> None:
    """Ten thousand are discarded a thousand at a time: that is no row for each."""
    patients = [Patient(database, name) for name in ("one", "two")]
    for patient in patients:
        patient.wait(f"evt_{patient.name}", LONG_AGO)
        lose_one(patient)

    by_type, by_callback = kept(database)
    assert ends(by_type) == {"cancelled": 2}
    assert set(by_callback) == {patient.id for patient in patients}


def lose_one(patient: Patient) -> None:
    with patient.database.write() as connection:
        connection.execute(sa.delete(callbacks).where(callbacks.c.id == patient.id))
        withdrawal.cancel(connection, patient.id, NOW)


def test_overtaken_statuses_are_counted_as_superseded(database: Database) -> None:
    """Those that come too late, and those that waited for their turn."""
    line = Line(database)
    first = a_status("e1", "sent")
    line.claim(first)
    line.claim(a_status("e2", "queued"))
    assert line.settle(delivered(first)).overtaken == 1
    assert line.claim(a_status("e3", "queued")).overtaken == 1

    by_type, by_callback = kept(database)
    assert ended_rows(database) == {"superseded": 2}
    assert ends(by_type) == ends(by_callback) == ended_rows(database)
    assert (set(by_type), set(by_callback)) == ({EventType.MESSAGE_STATUS}, {CALLBACK})
