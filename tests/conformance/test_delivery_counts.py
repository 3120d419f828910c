"""Counts of deliveries by token and state: what the lists show, added up, on SQLite and on
PostgreSQL.
"""

from collections import Counter
from dataclasses import replace

import pytest

from schemas.deliveries.callback_health import HealthFinding
from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import TokenId
from schemas.listings import DeliveryFilter
from schemas.tokens.tokens import OnResume
from store.deliveries.listing import list_deliveries
from store.engine.database import Database
from store.stats import by_token
from store.stats.by_token import count_deliveries
from tests.kit.tokens import TESTER
from tests.kit.waiting_rows import Patient

NOW = 10_000_000
SETTLED = [
    state for state in DeliveryState if state not in (DeliveryState.PENDING, DeliveryState.HELD)
]


def counted(database: Database) -> dict[TokenId, dict[DeliveryState, int]]:
    return {
        token_id: dict(counts)
        for token_id, counts in count_deliveries(database, lambda _: None).items()
    }


def listed(database: Database) -> dict[TokenId, dict[DeliveryState, int]]:
    """The counts according to the lists."""
    found: dict[TokenId, Counter[DeliveryState]] = {}
    with database.read() as connection:
        for one in list_deliveries(connection, DeliveryFilter(), 1_000).rows:
            found.setdefault(one.token_id, Counter())[one.state] += 1
    return {token_id: dict(counts) for token_id, counts in found.items()}


def test_every_state_is_counted_by_token(database: Database) -> None:
    """A sheet tells an administrator what a list would."""
    patient, other = Patient(database), Patient(database, "other")
    for number, state in enumerate(SETTLED):
        for copy in range(number + 1):
            patient.wait(f"evt_{state}_{copy}", NOW, state=state.value, due_at=None)
    patient.wait("evt_open", NOW)
    other.wait("evt_open_too", NOW)

    expected = {state: number + 1 for number, state in enumerate(SETTLED)} | {
        DeliveryState.PENDING: 1
    }
    assert counted(database) == {
        patient.token_id: expected,
        other.token_id: {DeliveryState.PENDING: 1},
    }


@pytest.mark.parametrize("hold", ["off", "disabled", "suspended", "kept", "failing"])
def test_open_ones_are_held_or_pending_as_the_lists_say(database: Database, hold: str) -> None:
    """`held` is stored nowhere: two places that derive it must not differ."""
    patient, other = Patient(database), Patient(database, "other")
    patient.wait("evt_old", NOW)
    patient.wait("evt_done", NOW, state="exhausted", due_at=None)
    other.wait("evt_other", NOW)

    match hold:
        case "off":
            patient.put(enabled=False)
        case "disabled":
            patient.found(HealthFinding.USELESS, NOW, reason="gone")
        case "suspended":
            patient.tokens.change(
                patient.token_id, lambda fields: replace(fields, enabled=False), TESTER
            )
        case "kept":
            patient.put(enabled=False)
            patient.put(enabled=True, held=OnResume.KEEP)
            patient.wait("evt_new", 10**14)
        case "failing":
            patient.found(HealthFinding.FAILING, NOW)

    assert counted(database) == listed(database)
    assert (DeliveryState.HELD in counted(database)[patient.token_id]) is (hold != "failing")


@pytest.mark.parametrize("rows", [0, 2, 3, 4, 6, 7])
def test_slices_add_up_to_the_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Ten million are no single statement; where one slice ends the next begins, also among rows of
    the same millisecond.
    """
    monkeypatch.setattr(by_token, "SLICE", 3)
    patient = Patient(database)
    for number in range(rows):
        patient.wait(f"evt_{number}", NOW + number // 5)
    progress: list[int] = []

    counts = count_deliveries(database, progress.append)

    assert counts == ({patient.token_id: {DeliveryState.PENDING: rows}} if rows else {})
    assert progress == [*range(3, rows + 1, 3), rows]


def test_deliveries_of_a_deleted_callback_still_count(database: Database) -> None:
    """They are the token's, and are listed."""
    patient = Patient(database)
    patient.wait("evt_1", NOW)

    patient.callbacks.delete(patient.token_id, patient.callback.type, TESTER)

    assert counted(database) == listed(database) == {patient.token_id: {DeliveryState.CANCELLED: 1}}
