"""Which open deliveries are shown as held, and why: on SQLite and on PostgreSQL."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.deliveries.callback_health import HealthFinding
from schemas.deliveries.deliveries import DeliveryState
from schemas.listings import DeliveryFilter
from schemas.tokens.tokens import OnResume
from store.deliveries.listing import list_deliveries
from store.engine.database import Database
from tests.kit.tokens import TESTER
from tests.kit.waiting_rows import Patient

NOW = 10_000_000


def switch_off(patient: Patient) -> None:
    patient.put(enabled=False)


def disable(patient: Patient) -> None:
    patient.found(HealthFinding.USELESS, NOW, reason="gone")


def suspend(patient: Patient) -> None:
    patient.tokens.change(patient.token_id, lambda fields: replace(fields, enabled=False), TESTER)


def bring_back_and_keep(patient: Patient) -> None:
    patient.put(enabled=False)
    patient.put(enabled=True, held=OnResume.KEEP)


def listed(patient: Patient, state: DeliveryState) -> dict[str, str | None]:
    """By event, with the reason."""
    with patient.database.read() as connection:
        found = list_deliveries(connection, DeliveryFilter(state=state), 10).rows
    assert all(one.state is state for one in found)
    return {one.event_id: one.reason for one in found}


@pytest.mark.parametrize(
    ("hold", "reason"),
    [
        (switch_off, "callback off"),
        (disable, "callback disabled: gone"),
        (suspend, "token suspended"),
        (bring_back_and_keep, "kept since the callback came back"),
    ],
)
def test_what_is_open_is_held_while_it_may_not_be_sent(
    database: Database, hold: Callable[[Patient], None], reason: str
) -> None:
    """It is found by that state alone; what is settled stays what it is, and so does what others
    wait for.
    """
    patient, other = Patient(database), Patient(database, "other")
    patient.wait("evt_open", NOW)
    patient.wait("evt_done", NOW, state="exhausted", due_at=None)
    other.wait("evt_other", NOW)

    hold(patient)

    assert listed(patient, DeliveryState.HELD) == {"evt_open": reason}
    assert listed(patient, DeliveryState.PENDING) == {"evt_other": None}
    assert listed(patient, DeliveryState.EXHAUSTED) == {"evt_done": None}


def test_what_waits_for_a_failing_callback_is_pending(database: Database) -> None:
    """It will be sent as soon as that works again."""
    patient = Patient(database)
    patient.wait("evt_open", NOW)

    patient.found(HealthFinding.FAILING, NOW)

    assert listed(patient, DeliveryState.PENDING) == {"evt_open": None}
