"""Probes of failing callbacks: one over all dispatchers, with the oldest delivery; and what waited
for too long.
"""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding
from schemas.deliveries.deliveries import Trigger
from schemas.times import LATEST, UnixMs
from store.deliveries import probes
from store.engine.database import Connection, Database
from store.tables import callbacks
from tests.kit.plans import plans
from tests.kit.tokens import TESTER
from tests.kit.waiting_rows import Patient

NOW = 1_700_000_000_000
"""A time that may be: no number of 32 bits."""

LATER = NOW + 6_000
"""When the first probe may be made."""

LEASE_MS = 25_000
HORIZON_MS = 3_600_000


@pytest.fixture
def patient(database: Database) -> Patient:
    """Failing since NOW."""
    made = Patient(database)
    made.found(HealthFinding.FAILING, NOW)
    return made


def probe(patient: Patient, now: int = LATER) -> str | None:
    """The event that is to probe it now."""
    with patient.database.write() as connection:
        due = probes.due_probes(connection, UnixMs(now), 10)
        taken = [
            one
            for callback_id in due
            for one in probes.lease_probe(connection, callback_id, UnixMs(now), LEASE_MS).go
        ]
    return taken[0].event_id if taken else None


def give_up(patient: Patient, now: int = LATER) -> int:
    with patient.database.write() as connection:
        total = 0
        for callback_id in probes.with_aged(connection, HORIZON_MS, UnixMs(now)):
            total += probes.exhaust_aged(
                connection, callback_id, HORIZON_MS, "too long", UnixMs(now)
            ).total()
    return total


def test_the_oldest_probes_whatever_its_schedule_says(patient: Patient) -> None:
    """Under a lease, as a probe, at the time of the first probe and not before."""
    patient.wait("evt_new", NOW - 1_000)
    patient.wait("evt_old", NOW - 9_000, due_at=NOW + 80_000_000, failures=3)
    assert probe(patient, NOW + 4_999) is None

    with patient.database.write() as connection:
        (taken,) = probes.lease_probe(connection, patient.id, UnixMs(LATER), LEASE_MS).go

    assert (taken.event_id, taken.trigger, taken.lease, taken.failures) == (
        "evt_old",
        Trigger.PROBE,
        1,
        3,
    )
    assert patient.rows("leased", "lease", "due_at")["evt_old"] == (True, 1, LATER + LEASE_MS)


def test_one_probe_at_a_time_over_all_dispatchers(patient: Patient) -> None:
    """The dispatcher that moves its time on first makes it. Should that one die, another may when
    the lease ends.
    """
    patient.wait("evt_1", NOW - 9_000)
    patient.wait("evt_2", NOW - 8_000)
    with patient.database.read() as connection:
        seen_by_both = probes.due_probes(connection, UnixMs(LATER), 10)

    with patient.database.write() as connection:
        first, second = (
            probes.lease_probe(connection, one, UnixMs(LATER), LEASE_MS) for one in seen_by_both * 2
        )

    assert [one.event_id for one in first.go] == ["evt_1"]
    assert second.go == []
    assert probe(patient, LATER + LEASE_MS - 1) is None
    assert probe(patient, LATER + LEASE_MS) == "evt_1"


@pytest.mark.parametrize(
    "columns",
    [
        {"leased": True, "due_at": LATER + 1},
        {"awaits_status": True, "due_at": LATER + 1},
        {"outcome": "throttled", "due_at": LATER + 1},
        {"due_at": None, "state": "delivered"},
        {"lease_count": 20},
    ],
    ids=["leased", "waits for another status", "put off by its receiver", "done", "poison"],
)
def test_what_may_not_be_sent_now_does_not_probe(
    patient: Patient, columns: dict[str, object]
) -> None:
    """The next oldest does."""
    patient.wait("evt_busy", NOW - 9_000, **columns)
    assert probe(patient) is None
    patient.wait("evt_free", NOW - 1_000)

    assert probe(patient) == "evt_free"


def test_what_its_token_may_no_longer_see_is_cancelled_on_the_way_to_a_probe(
    patient: Patient,
) -> None:
    """All at the head of the line at once: with a probe for each,
    those behind would wait for days.
    """
    for number in range(60):
        patient.wait(f"evt_{number:02}", NOW - 9_000 + number, channel="chn_secret")
    patient.wait("evt_later", NOW - 2_000, channel="chn_secret", due_at=LATER + 1, leased=True)
    patient.wait("evt_seen", NOW - 1_000)
    patient.tokens.change(
        patient.token_id, lambda fields: replace(fields, channels=frozenset({"chn_1"})), TESTER
    )

    assert probe(patient) == "evt_seen"

    rows = patient.rows("state", "reason", "due_at")
    assert {rows[f"evt_{number:02}"] for number in range(60)} == {
        ("cancelled", "the token may no longer see this channel", None)
    }
    assert rows["evt_later"][0] == "pending", "a dispatcher has leased it"


def test_nothing_probes_a_callback_that_is_not_to_be_called(patient: Patient) -> None:
    """Its token is suspended, or it was switched off or disabled."""
    patient.wait("evt_1", NOW)
    suspended = Patient(patient.database, "suspended")
    suspended.found(HealthFinding.FAILING, NOW)
    suspended.wait("evt_2", NOW)
    suspended.tokens.change(
        suspended.token_id,
        lambda fields: type(fields)(fields.name, fields.activates_at, enabled=False),
        TESTER,
    )
    patient.put(enabled=False)

    assert probe(patient) is None


def test_what_is_kept_back_does_not_probe(patient: Patient) -> None:
    """It is held until an administrator releases it."""
    patient.put(enabled=False)
    patient.wait("evt_held", NOW)
    patient.put(enabled=True)
    patient.found(HealthFinding.FAILING, NOW)

    assert probe(patient) is None


def test_what_is_kept_is_passed_over_by_an_index(patient: Patient) -> None:
    """A million of them, from a week off, stand before all that is newer: both looks must not read
    them, twice a second.
    """
    for number in range(300):
        patient.wait(f"evt_{number}", NOW - 9_000 + number, due_at=LATEST)
    with patient.database.write() as connection:
        connection.execute(sa.update(callbacks).values(held_before=NOW - 1_000, on_resume="keep"))
        connection.execute(sa.text("ANALYZE"))

    def look(connection: Connection) -> None:
        assert probes.due_probes(connection, UnixMs(LATER), 10) == []
        assert probes.with_aged(connection, 1, UnixMs(LATER)) == []
        assert probes.lease_probe(connection, patient.id, UnixMs(LATER), LEASE_MS).go == []
        assert not probes.exhaust_aged(connection, patient.id, 1, "too long", UnixMs(LATER))

    lines = [line for plan in plans(patient.database, look) for line in plan.splitlines()]
    entered = [
        line
        for line in lines
        if ("ix_deliveries_since (" in line or "Index Cond: ((callback_id" in line)
        and "queued_at" in line
    ]
    assert len(entered) == 4, lines
    assert all("queued_at>" in line or "queued_at >= " in line for line in entered), entered


def test_what_waited_as_long_as_its_schedule_is_given_up(patient: Patient) -> None:
    """In batches, with the reason; what is younger waits on, and so does what is leased."""
    patient.wait("evt_old", LATER - HORIZON_MS)
    patient.wait("evt_put_off", LATER - HORIZON_MS, outcome="throttled", due_at=LATER + 1)
    patient.wait("evt_young", LATER - HORIZON_MS + 1)
    patient.wait("evt_in_hand", LATER - HORIZON_MS, leased=True, due_at=LATER + 1)

    assert give_up(patient) == 2

    rows = patient.rows("state", "reason", "due_at")
    assert rows["evt_old"] == rows["evt_put_off"] == ("exhausted", "too long", None)
    assert rows["evt_young"][0] == rows["evt_in_hand"][0] == "pending"
    assert give_up(patient) == 0


def test_a_healthy_callback_gives_up_nothing_by_age(database: Database) -> None:
    """Its schedule says when it is enough."""
    well = Patient(database)
    well.wait("evt_old", NOW - 2 * HORIZON_MS)

    assert give_up(well) == 0


def test_the_probes_that_wait_longest_come_first(patient: Patient) -> None:
    """After an outage of all receivers not all can begin at once."""
    others = [Patient(patient.database, f"other_{number}") for number in range(3)]
    for number, other in enumerate(others):
        other.found(HealthFinding.FAILING, NOW - 60_000 - number)
        other.wait(f"evt_{number}", NOW)
    patient.wait("evt_last", NOW)

    with patient.database.read() as connection:
        due = probes.due_probes(connection, UnixMs(LATER), 2)

    assert due == [others[2].id, others[1].id]
