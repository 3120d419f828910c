"""The figures last measured, and docs/reliability.md, whose table is written from them. Called by
`__main__`, checked by a test.
"""

import datetime as dt
import json
import pathlib
from typing import Any

from tests.chaos.reports import Report
from tests.chaos.scenarios import SCENARIOS

FIGURES = pathlib.Path(__file__).with_name("figures.json")
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- written by `python -m tests.chaos --write` -->\n", "<!-- until here -->\n"


def keep(name: str, report: Report) -> None:
    """Keep the figures of this scenario with those of the others, and write the page."""
    kept = figures()
    kept[name] = {
        "measured": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "figures": report.line(),
        "broken": report.broken,
    }
    FIGURES.write_text(json.dumps(kept, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    write()


def figures() -> dict[str, Any]:
    """By scenario; of those that were measured."""
    found: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return found


def table() -> str:
    """Markdown: one row per scenario."""
    kept = figures()
    rows = ["| scenario | fault | what is promised | last measured |", "|---|---|---|---|"]
    for name, scenario in SCENARIOS.items():
        rows.append(
            f"| `{name}` | {scenario.fault} | {scenario.promise} | {_measured(kept.get(name))} |"
        )
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """The page with today's table in it."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{rest.partition(_END)[2]}"


def write() -> None:
    PAGE.write_text(page(PAGE.read_text()))


def _measured(kept: dict[str, Any] | None) -> str:
    if kept is None:
        return ""
    broken = "".join(f"<br>**not kept: {promise}**" for promise in kept["broken"])
    return f"{kept['figures']} ({kept['measured']}){broken}"
