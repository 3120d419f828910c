"""What the store says of itself for the gauges: how much is due and since when, at a cost that does
not grow with the backlog.
"""

import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding
from schemas.times import UnixMs, now_ms
from store.engine.database import Database
from store.stats import gauges
from tests.kit.plans import plans
from tests.kit.waiting_rows import Patient

OLD = 10_000


def test_what_is_due_is_counted_with_the_age_of_the_oldest(database: Database) -> None:
    """First attempts and repeats. Not what is held, waits for a failing callback, is leased, or is
    due later.
    """
    patient, failing, off = (
        Patient(database),
        Patient(database, "failing"),
        Patient(database, "off"),
    )
    later = now_ms() + 3_600_000
    patient.wait("evt_repeat", OLD, is_retry=True)
    patient.wait("evt_first", OLD + 5_000)
    patient.wait("evt_leased", OLD, leased=True, due_at=later)
    patient.wait("evt_later", OLD, is_retry=True, due_at=later)
    patient.wait("evt_done", OLD, state="delivered", due_at=None)
    for other in (failing, off):
        other.wait(f"evt_{other.name}", 1)
    failing.found(HealthFinding.FAILING, OLD)
    off.put(enabled=False)

    found = gauges.read(database)

    assert found.deliveries_due == 2
    assert found.deliveries_due_oldest_s == pytest.approx((now_ms() - OLD) / 1000, abs=60)


def test_nothing_due_is_nothing(database: Database) -> None:
    """This holds where something is open, too."""
    Patient(database).wait("evt_later", OLD, due_at=now_ms() + 3_600_000)

    found = gauges.read(database)

    assert (found.deliveries_due, found.deliveries_due_oldest_s) == (0, 0.0)


def test_of_a_great_backlog_only_so_many_are_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every scrape of every process would read the whole of it, while it can least be spared. The
    oldest is shown all the same.
    """
    monkeypatch.setattr(gauges, "DUE_COUNTED", 4)
    patient = Patient(database)
    for number in range(7):
        patient.wait(f"evt_{number}", OLD + number)

    found = gauges.read(database)

    assert found.deliveries_due == 4
    assert found.deliveries_due_oldest_s == pytest.approx((now_ms() - OLD) / 1000, abs=60)


def test_what_is_due_is_found_by_its_index(database: Database) -> None:
    """What is open and not due yet is not walked over: a million that wait for tomorrow cost
    nothing.
    """
    patient = Patient(database)
    for number in range(3):
        patient.wait(f"evt_{number}", OLD)
    with database.write() as connection:
        connection.execute(sa.text("ANALYZE"))

    for plan in plans(database, lambda connection: gauges._due(connection, UnixMs(now_ms()))):
        assert "ix_deliveries_due" in plan or "Seq Scan on deliveries" in plan, (
            plan
        )  # PostgreSQL knows that there are three
        assert "SCAN deliveries" not in plan.splitlines(), plan
