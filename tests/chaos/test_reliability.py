"""docs/reliability.md is what people trust: its rows are the scenarios, its figures those last
measured.
"""

from tests.chaos import reliability
from tests.chaos.scenarios import SCENARIOS


def test_the_page_has_a_row_for_every_scenario_with_the_figures_last_measured() -> None:
    """A figure that was not measured, or a fault that is not played, would be worse than a gap."""
    text = reliability.PAGE.read_text()

    assert reliability.page(text) == text, "write it again: .venv/bin/python -m tests.chaos --write"
    assert all(f"| `{name}` |" in text for name in SCENARIOS)
    assert reliability.figures().keys() <= SCENARIOS.keys()
