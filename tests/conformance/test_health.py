"""What attempts find out about their callback, as it is stored: on SQLite and on PostgreSQL."""

import json

import msgspec
import pytest
import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.settlement import Settlement
from schemas.observer import NullObserver
from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackHealth, CallbackState
from store.deliveries.settlement import settle
from store.directory.directory import Directory
from store.engine.database import Database
from store.stats import gauges
from store.tables import alerts, directory_version
from store.tokens import callback_health
from tests.kit.making import a_delivery, an_attempt
from tests.kit.tokens import TESTER
from tests.kit.waiting_rows import RECEIVED, VAULT, Patient

NOW = 100_000_000
HOUR_S, HOUR_MS = 3600, 3_600_000


@pytest.fixture
def patient(database: Database) -> Patient:
    return Patient(database)


def alerts_to_send(database: Database) -> list[tuple[str, dict[str, object]]]:
    """The operational events that are on their way, oldest first."""
    with database.read() as connection:
        bodies = [
            json.loads(body)
            for body in connection.scalars(sa.select(alerts.c.body).order_by(alerts.c.id))
        ]
    return [(body["type"], body["data"]) for body in bodies]


def version(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(directory_version.c.version)) or 0


def test_an_opening_is_remembered_with_since_when_and_the_first_probe(patient: Patient) -> None:
    """The finding outlives the dispatcher that made it."""
    patient.found(HealthFinding.FAILING, NOW, failing_for_s=30)

    assert patient.callback.state is CallbackState.FAILING
    assert patient.callback.health == CallbackHealth(0, UnixMs(NOW - 30_000), UnixMs(NOW + 5_000))


def test_every_dispatcher_learns_of_it(patient: Patient, database: Database) -> None:
    """By the directory's version, as of any change."""
    directory = Directory(database, VAULT, NullObserver())
    directory.refresh()
    patient.found(HealthFinding.FAILING, NOW)

    directory.refresh()

    found = directory.callback(patient.id)
    directory.close()
    assert found is not None
    assert found[1].state is CallbackState.FAILING


def test_a_second_opening_changes_nothing(patient: Patient, database: Database) -> None:
    """Two dispatchers find it out in the same moment: it is failing since the first, and reported
    once.
    """
    patient.found(HealthFinding.FAILING, NOW, failing_for_s=30)
    known, before = patient.callback.health, version(database)

    patient.found(HealthFinding.FAILING, NOW + 100, failing_for_s=5)

    assert (patient.callback.health, version(database)) == (known, before)
    assert [kind for kind, _ in alerts_to_send(database)] == ["callback.failing"]


def test_each_probe_that_fails_puts_the_next_one_off(patient: Patient) -> None:
    """Doubling."""
    patient.found(HealthFinding.FAILING, NOW)
    for number, delay_s in enumerate((10, 20, 40), start=1):
        patient.found(HealthFinding.PROBE_FAILED, NOW)

        assert (patient.callback.health.probes, patient.callback.health.probe_at) == (
            number,
            NOW + delay_s * 1000,
        )


def test_a_success_closes_it_and_has_what_waits_seen_to(
    patient: Patient, database: Database
) -> None:
    """As a new generation: what is still in flight and fails says nothing about the callback any
    more.
    """
    patient.found(HealthFinding.FAILING, NOW, failing_for_s=30)
    patient.found(HealthFinding.WORKS, NOW + 60_000)

    assert (patient.callback.state, patient.callback.health) == (
        CallbackState.HEALTHY,
        CallbackHealth(generation=1),
    )
    patient.found(HealthFinding.FAILING, NOW + 61_000, generation=0)
    assert patient.callback.state is CallbackState.HEALTHY
    assert [kind for kind, _ in alerts_to_send(database)] == [
        "callback.failing",
        "callback.recovered",
    ]
    assert alerts_to_send(database)[1][1]["failing_since"] == "1970-01-02T03:46:10.000Z"


def test_what_does_not_help_any_more_is_disabled_with_the_reason(
    patient: Patient, database: Database
) -> None:
    """Until a person enables it."""
    patient.found(HealthFinding.USELESS, NOW, failing_for_s=30, reason="gone")

    assert patient.callback.state is CallbackState.DISABLED
    assert patient.callback.health == CallbackHealth(
        1, UnixMs(NOW - 30_000), None, 0, UnixMs(NOW), "gone"
    )
    patient.found(HealthFinding.WORKS, NOW + 1)
    assert patient.callback.state is CallbackState.DISABLED, (
        "an attempt by hand that succeeds enables nothing"
    )
    ((kind, data),) = alerts_to_send(database)
    assert (kind, data["reason"], data["token"]) == (
        "callback.disabled",
        "gone",
        {"id": patient.token_id, "name": "x"},
    )


def test_who_keeps_failing_is_disabled_by_the_stores_clock_and_memory(patient: Patient) -> None:
    """At the first probe that fails so long after the opening that is stored; the dispatcher that
    makes it may be new.
    """
    patient.found(HealthFinding.FAILING, NOW, failing_for_s=30)

    patient.found(
        HealthFinding.PROBE_FAILED,
        NOW + HOUR_MS - 30_001,
        failing_for_s=10 * HOUR_S,
        reason="long",
        disable_after_s=HOUR_S,
    )
    assert patient.callback.state is CallbackState.FAILING
    patient.found(
        HealthFinding.PROBE_FAILED, NOW + HOUR_MS - 30_000, reason="long", disable_after_s=HOUR_S
    )

    assert patient.callback.state is CallbackState.DISABLED
    assert patient.callback.health == CallbackHealth(
        1, UnixMs(NOW - 30_000), None, 0, UnixMs(NOW + HOUR_MS - 30_000), "long"
    )


def test_few_failures_over_a_long_time_disable_where_nothing_succeeded_meanwhile(
    patient: Patient,
) -> None:
    """A callback with little to do: the store is asked whether anybody reached it."""
    patient.wait("evt_1", NOW - HOUR_MS)

    patient.found(
        HealthFinding.LASTING, NOW, failing_for_s=HOUR_S, reason="long", disable_after_s=HOUR_S
    )

    assert patient.callback.state is CallbackState.DISABLED


@pytest.mark.parametrize(
    ("ended_before_ms", "state"), [(HOUR_MS, "disabled"), (HOUR_MS - 1, "healthy")]
)
def test_another_dispatchers_success_keeps_it_from_being_disabled(
    patient: Patient, ended_before_ms: int, state: str
) -> None:
    """One whose way to it is closed must not speak for all. When it succeeded counts, not when that
    delivery was made.
    """
    succeed(patient, "evt_old", made_at=NOW - 9 * HOUR_MS, ended_at=NOW - ended_before_ms)
    patient.wait("evt_1", NOW - 100)

    patient.found(
        HealthFinding.LASTING, NOW, failing_for_s=HOUR_S, reason="long", disable_after_s=HOUR_S
    )

    assert patient.callback.state == state


def test_it_is_failing_since_the_last_success_of_anybody(patient: Patient) -> None:
    """Otherwise it would be disabled too early, by what one dispatcher saw before."""
    succeed(patient, "evt_old", made_at=NOW - HOUR_MS, ended_at=NOW - HOUR_MS // 2)

    patient.found(HealthFinding.FAILING, NOW, failing_for_s=HOUR_S)

    assert patient.callback.health.failing_since == NOW - HOUR_MS // 2


def test_a_busy_tokens_past_is_looked_at_only_so_far(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond that nothing is known, and so nothing is disabled;
    since then it may be said to fail.
    """
    monkeypatch.setattr(callback_health, "SCAN_ROWS", 3)
    for number in range(3):
        patient.wait(f"evt_{number}", NOW - 1000 + number)

    patient.found(
        HealthFinding.LASTING, NOW, failing_for_s=HOUR_S, reason="long", disable_after_s=HOUR_S
    )
    assert patient.callback.state is CallbackState.HEALTHY
    patient.found(HealthFinding.FAILING, NOW, failing_for_s=HOUR_S)

    assert patient.callback.health.failing_since == NOW - 1000
    patient.found(
        HealthFinding.PROBE_FAILED, NOW - 1000 + HOUR_MS, reason="long", disable_after_s=HOUR_S
    )
    assert patient.callback.state is CallbackState.DISABLED, "that much later"


def succeed(patient: Patient, event_id: str, *, made_at: int, ended_at: int) -> None:
    """Another dispatcher delivered this."""
    attempt = msgspec.structs.replace(an_attempt(), started_at=UnixMs(ended_at - 3))
    delivery = msgspec.structs.replace(
        a_delivery(event_id, patient.id), token_id=patient.token_id, created_at=UnixMs(made_at)
    )
    with patient.database.write() as connection:
        settle(
            connection,
            [Settlement(delivery, DeliveryState.DELIVERED, attempt=attempt)],
            UnixMs(ended_at),
        )


@pytest.mark.parametrize("finding", list(HealthFinding))
def test_what_was_found_out_of_an_older_generation_is_void(
    patient: Patient, finding: HealthFinding
) -> None:
    """It was about another URL (docs/invariants.md#held-is-derived)."""
    patient.put(url="https://new.example/")
    known = patient.callback.health

    patient.found(finding, NOW, generation=0, reason="gone")

    assert patient.callback.health == known


def test_of_a_callback_that_is_off_or_deleted_nothing_is_found_out(
    patient: Patient, database: Database
) -> None:
    """An attempt may end after that."""
    patient.put(enabled=False)
    patient.found(HealthFinding.FAILING, NOW)
    assert patient.callback.health.failing_since is None

    generation = patient.callback.health.generation
    patient.callbacks.delete(patient.token_id, RECEIVED, TESTER)
    with database.write() as connection:
        callback_health.record(
            connection, [HealthReport(patient.id, generation, HealthFinding.FAILING)], UnixMs(NOW)
        )
    assert alerts_to_send(database) == []


def test_of_several_findings_in_one_settlement_the_first_that_counts_counts(
    patient: Patient, database: Database
) -> None:
    """They are judged one after the other."""
    reports = [
        HealthReport(patient.id, 0, finding)
        for finding in (HealthFinding.FAILING, HealthFinding.WORKS, HealthFinding.FAILING)
    ]
    with database.write() as connection:
        callback_health.record(connection, reports, UnixMs(NOW))

    assert (patient.callback.state, patient.callback.health.generation) == (
        CallbackState.HEALTHY,
        1,
    )


def test_the_gauge_counts_callbacks_by_the_state_that_they_show(database: Database) -> None:
    """The rule of the property, as SQL."""
    patients = [Patient(database, name) for name in ("well", "failing", "useless", "off")]
    patients[1].found(HealthFinding.FAILING, NOW)
    patients[2].found(HealthFinding.FAILING, NOW)
    patients[2].found(HealthFinding.USELESS, NOW, reason="gone")
    patients[3].put(enabled=False)

    assert gauges.read(database).callbacks == dict.fromkeys(CallbackState, 1)
    assert {patient.callback.state for patient in patients} == set(CallbackState)
