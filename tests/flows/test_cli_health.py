"""How callbacks fare, as `ringback token show` tells it."""

from pathlib import Path

import pytest

from schemas.deliveries.callback_health import HealthFinding
from store.engine import migrate
from store.engine.database import Database
from tests.kit.command import Place
from tests.kit.waiting_rows import Patient

NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (HealthFinding.WORKS, "https://x.example/ (healthy)"),
        (HealthFinding.FAILING, "https://x.example/ (failing since 2026-11-18T11:05:20.000Z)"),
        (HealthFinding.USELESS, "https://x.example/ (disabled at 2026-11-18T11:06:40.000Z: gone)"),
    ],
)
def test_a_token_is_shown_with_how_its_callbacks_fare(
    tmp_path: Path, finding: HealthFinding, words: str
) -> None:
    """Since when, or why: it is the first question when nothing arrives."""
    database = Database(f"sqlite:///{tmp_path}/ringback.db")
    migrate.upgrade(database)
    patient = Patient(database)
    patient.found(finding, NOW, failing_for_s=80, reason="gone")
    place = Place(
        tmp_path,
        DATABASE_URL=f"sqlite:///{tmp_path}/ringback.db",
        SECRET_KEY="a-key-for-tests-" * 2,
    )

    shown = place.call("token", "show", patient.token_id)

    database.close()
    assert shown.status == 0, shown.err
    assert words in shown.out
