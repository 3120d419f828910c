"""docs/reliability.md is what people trust: its rows are the scenarios, its figures those last measured, its tests exist."""

import pathlib
import re

from tests.chaos import reliability
from tests.chaos.scenarios import SCENARIOS

ROOT = pathlib.Path(__file__).parents[2]


def test_the_page_has_a_row_for_every_scenario_with_the_figures_last_measured() -> None:
    """A figure that nobody measured, or a fault that nobody plays, would be worse than a gap."""
    text = reliability.PAGE.read_text()

    assert reliability.page(text) == text, "write it anew: .venv/bin/python -m tests.chaos --write"
    assert all(f"| `{name}` |" in text for name in SCENARIOS)
    assert reliability.figures().keys() <= SCENARIOS.keys()


def test_the_tests_that_the_page_names_are_there() -> None:
    """They are renamed more often than pages are read."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", reliability.PAGE.read_text())

    assert named
    for path, function in named:
        source = (ROOT / path).read_text()
        assert not function or f"def {function}(" in source, f"{path}::{function}"
