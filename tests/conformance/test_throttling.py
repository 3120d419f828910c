"""Callbacks whose receivers ask to be left alone, as it is stored: on SQLite and on PostgreSQL."""

import datetime as dt

import pytest

from schemas.deliveries.callback_health import (
    MIN_HORIZON,
    HealthFinding,
    HealthReport,
    throttle_horizon,
)
from schemas.deliveries.deliveries import DeliveryState
from schemas.listings import DeliveryFilter
from schemas.observer import NullObserver
from schemas.times import UnixMs, now_ms, to_rfc3339
from schemas.tokens.tokens import CallbackState
from store.deliveries import due, probes, refusing
from store.deliveries.listing import list_deliveries
from store.directory.directory import Directory
from store.engine.database import Database
from store.tokens import callback_health, callback_throttling
from store.tokens.callback_throttling import GOES_ON_MS, SAME_MS
from tests.kit.waiting_rows import VAULT, Patient

NOW = 1_700_000_000_000
"""A time that may be: no number of 32 bits."""

DAY_MS = 86_400_000
PATIENCE_MS = 2 * DAY_MS


@pytest.fixture
def patient(database: Database) -> Patient:
    return Patient(database)


def throttle(patient: Patient, now: int, pause_s: float, generation: int | None = None) -> None:
    known = patient.callback.health.generation if generation is None else generation
    with patient.database.write() as connection:
        callback_health.record(
            connection,
            [HealthReport(patient.id, known, HealthFinding.THROTTLED, pause_s=pause_s)],
            UnixMs(now),
        )


def times(patient: Patient) -> tuple[int | None, int | None]:
    found = patient.callback.health
    return found.throttled_until, found.throttled_since


def test_until_when_a_callback_is_left_alone_is_remembered_and_every_dispatcher_learns_of_it(
    patient: Patient, database: Database
) -> None:
    """It holds for all of them, and after a restart."""
    directory = Directory(database, VAULT, NullObserver())
    directory.refresh()
    throttle(patient, NOW, 30.0)

    directory.refresh()

    found = directory.callback(patient.id)
    directory.close()
    assert found is not None
    assert found[1].health.throttled_until == NOW + 30_000
    assert (found[1].state, times(patient)) == (CallbackState.HEALTHY, (NOW + 30_000, NOW))


def test_a_time_that_hardly_moves_is_not_written_and_never_goes_back(patient: Patient) -> None:
    """Sixteen answers to attempts in flight together are one write; a shorter pause does not end a
    longer one.
    """
    throttle(patient, NOW, 30.0)
    throttle(patient, NOW + SAME_MS, 30.0)
    throttle(patient, NOW + 1_000, 1.0)
    assert times(patient) == (NOW + 30_000, NOW)

    throttle(patient, NOW + SAME_MS + 1, 30.0)

    assert times(patient) == (NOW + SAME_MS + 30_001, NOW)


def test_since_when_it_takes_nothing_goes_on_until_it_takes_something_or_long_asked_for_nothing(
    patient: Patient,
) -> None:
    """What waits for days is given up by it."""
    throttle(patient, NOW, 30.0)
    throttle(patient, NOW + 30_100, 30.0)
    assert times(patient)[1] == NOW

    patient.found(HealthFinding.ACCEPTS, NOW + 61_000)
    assert times(patient) == (NOW + 60_100, None)
    throttle(patient, NOW + 70_000, 1.0)
    assert times(patient)[1] == NOW + 70_000

    later = NOW + 71_000 + GOES_ON_MS + 1
    throttle(patient, later, 1.0)
    assert times(patient)[1] == later


def test_a_change_of_the_callback_ends_it(patient: Patient) -> None:
    """It may be another receiver; what an older one asks for says nothing."""
    throttle(patient, NOW, 86_400.0)
    patient.put(url="https://other.example/")
    assert times(patient) == (None, None)

    throttle(patient, NOW, 86_400.0, generation=0)

    assert times(patient) == (None, None)


def test_a_failing_callback_is_not_probed_before_the_time_that_its_receiver_asked_for(
    patient: Patient,
) -> None:
    """It is not sooner than it would have been, and such an answer to a probe counts neither as a
    failure nor as a success.
    """
    patient.wait("evt_1", NOW)
    patient.found(HealthFinding.FAILING, NOW)
    throttle(patient, NOW + 5_000, 600.0)
    health = patient.callback.health
    assert (patient.callback.state, health.probe_at, health.probes) == (
        CallbackState.FAILING,
        NOW + 605_000,
        0,
    )
    patient.found(HealthFinding.PROBE_FAILED, NOW + 6_000)
    assert patient.callback.health.probe_at == NOW + 605_000

    throttle(patient, NOW + 605_000, 1.0)

    assert patient.callback.health.probe_at == NOW + 605_000 + 10_000
    with patient.database.read() as connection:
        assert probes.due_probes(connection, UnixMs(NOW + 615_000), 10) == [patient.id]


def test_a_callback_that_opens_while_it_is_left_alone_is_probed_afterwards(
    patient: Patient,
) -> None:
    """Its first probe would be one of the automatic attempts that it does not want."""
    throttle(patient, NOW, 600.0)
    patient.found(HealthFinding.FAILING, NOW + 1_000)

    assert patient.callback.health.probe_at == NOW + 600_000


def test_what_waits_for_a_failing_callback_is_not_given_up_while_it_is_left_alone_as_it_asked(
    patient: Patient,
) -> None:
    """Its probe was asked to come back tomorrow. Obeying ends no delivery, however short the
    schedule is.
    """
    horizon_ms, asked_at = 3_600_000, NOW + 5_000
    patient.wait("evt_1", NOW)
    patient.found(HealthFinding.FAILING, NOW)
    throttle(patient, asked_at, 86_400.0)

    def exhausted(now: int) -> int:
        with patient.database.write() as connection:
            found = probes.with_aged(connection, horizon_ms, UnixMs(now))
            return sum(
                probes.exhaust_aged(
                    connection, one, horizon_ms, "kept failing", UnixMs(now)
                ).total()
                for one in found
            )

    assert exhausted(asked_at + DAY_MS) == 0, "it is being probed"
    throttle(patient, asked_at + DAY_MS, 86_400.0)
    assert exhausted(NOW + PATIENCE_MS - 1) == 0
    assert exhausted(NOW + PATIENCE_MS) == 1


def test_what_waits_for_one_that_only_fails_again_is_given_up_by_its_schedule(
    patient: Patient,
) -> None:
    """A minute that was once asked for does not keep its backlog for two days."""
    patient.wait("evt_1", NOW)
    patient.found(HealthFinding.FAILING, NOW)
    throttle(patient, NOW + 5_000, 60.0)

    with patient.database.read() as connection:
        assert probes.with_aged(connection, 3_600_000, UnixMs(NOW + 3_600_000)) == [patient.id]


def test_what_a_clock_wrote_that_was_ahead_holds_up_no_delivery(patient: Patient) -> None:
    """Set right since: it is called as if nothing had been, also by a probe, and what its receiver
    says now is written.
    """
    ahead = NOW + 3 * DAY_MS
    patient.wait("evt_1", NOW)
    throttle(patient, ahead, 60.0)

    with patient.database.read() as connection:
        assert (
            callback_throttling.throttled_until_by_callback(connection, [patient.id], UnixMs(NOW))
            == {}
        )
        assert callback_throttling.throttled_until_by_callback(
            connection, [patient.id], UnixMs(ahead)
        ) == {patient.id: ahead + 60_000}
    assert patient.callback.health.paused_until(UnixMs(NOW)) is None
    patient.found(HealthFinding.FAILING, NOW)
    assert patient.callback.health.probe_at == NOW + 5_000
    throttle(patient, NOW + 1, 30.0)
    assert times(patient) == (NOW + 30_001, NOW + 1)


def test_a_probe_that_a_clock_put_off_that_was_ahead_is_made_at_once(patient: Patient) -> None:
    """Otherwise the callback would not be called until that time has come."""
    patient.wait("evt_1", NOW)
    patient.found(HealthFinding.FAILING, NOW + 3 * DAY_MS)

    with patient.database.write() as connection:
        assert probes.due_probes(connection, UnixMs(NOW), 10) == [patient.id]
        assert len(probes.lease_probe(connection, patient.id, UnixMs(NOW), 25_000).go) == 1
        assert probes.due_probes(connection, UnixMs(NOW), 10) == []


def given_up(patient: Patient, now: int) -> int:
    with patient.database.write() as connection:
        assert refusing.any_aged(connection, PATIENCE_MS, UnixMs(now)) or not refusing.with_aged(
            connection, PATIENCE_MS, UnixMs(now)
        )
        found = refusing.with_aged(connection, PATIENCE_MS, UnixMs(now))
        return sum(
            refusing.exhaust_aged(
                connection, one, PATIENCE_MS, "nothing taken", UnixMs(now)
            ).total()
            for one in found
        )


def refuse_for(patient: Patient, days: int) -> int:
    """Every minute would be so too; returns the time of the last refusal."""
    for day in range(days + 1):
        throttle(patient, NOW + day * DAY_MS, 86_400.0)
    return NOW + days * DAY_MS


def test_what_waits_for_one_that_takes_nothing_for_days_is_given_up(patient: Patient) -> None:
    """There must be an end; what came later has its own days, and what is leased is left there."""
    patient.wait("evt_old", NOW)
    patient.wait("evt_in_hand", NOW, leased=True, due_at=NOW + 9 * DAY_MS)
    patient.wait("evt_young", NOW + 1)
    assert given_up(patient, refuse_for(patient, 1)) == 0

    assert given_up(patient, refuse_for(patient, 2)) == 1

    rows = patient.rows("state", "reason")
    assert rows == {
        "evt_old": ("exhausted", "nothing taken"),
        "evt_in_hand": ("pending", None),
        "evt_young": ("pending", None),
    }
    assert given_up(patient, NOW + 2 * DAY_MS) == 0


def test_what_waits_for_one_that_takes_something_is_not_given_up_however_old(
    patient: Patient,
) -> None:
    """A backlog that drains slowly drains."""
    patient.wait("evt_old", NOW - 9 * DAY_MS)
    refuse_for(patient, 2)
    patient.found(HealthFinding.ACCEPTS, NOW + 2 * DAY_MS)

    assert given_up(patient, NOW + 2 * DAY_MS) == 0


def test_one_that_refused_long_ago_and_is_asked_nothing_any_more_gives_up_nothing(
    patient: Patient,
) -> None:
    """The columns stand there for ever."""
    patient.wait("evt_old", NOW)
    throttle(patient, NOW, 1.0)

    assert given_up(patient, NOW + 9 * DAY_MS) == 0


def test_a_short_schedule_is_no_reason_to_give_up_what_waits_as_it_was_asked_to() -> None:
    """A receiver may ask for a day."""
    assert throttle_horizon(dt.timedelta(seconds=65)) == MIN_HORIZON
    assert throttle_horizon(dt.timedelta(hours=76)) == dt.timedelta(hours=76)


def test_lists_say_when_the_next_attempt_comes_and_why(patient: Patient) -> None:
    """A due time that has passed, and nothing happens, would make people look for a fault."""
    now = now_ms()
    for event_id, columns in {
        "evt_due": {},
        "evt_later": {"due_at": now + 900_000},
        "evt_done": {"state": "delivered", "due_at": None},
    }.items():
        patient.wait(event_id, now - 60_000, **columns)
    throttle(patient, now, 600.0)

    with patient.database.read() as connection:
        rows = {row.event_id: row for row in list_deliveries(connection, DeliveryFilter(), 10).rows}

    until = f"its receiver asked to wait until {to_rfc3339(UnixMs(now + 600_000))}"
    assert {
        event_id: (row.state, row.reason, row.next_attempt_at) for event_id, row in rows.items()
    } == {
        "evt_due": (DeliveryState.PENDING, until, now + 600_000),
        "evt_later": (DeliveryState.PENDING, until, now + 900_000),
        "evt_done": (DeliveryState.DELIVERED, None, None),
    }


def test_what_was_throttled_is_taken_in_its_old_place(patient: Patient, database: Database) -> None:
    """Before what came after it, of its own conversation too, and as the first attempt that it
    still waits for.
    """
    patient.wait("evt_1", NOW, outcome="throttled")
    patient.wait("evt_2", NOW + 1)
    share = due.Share(patient.id, False)

    with database.write() as connection:
        taken = due.lease(
            connection,
            {share: due.LeaseRequest(10)},
            UnixMs(NOW + 10),
            25_000,
            lapsed=True,
            most=10,
        )

    assert [(one.event_id, one.trigger) for one in taken.deliveries] == [
        ("evt_1", "first"),
        ("evt_2", "first"),
    ]
