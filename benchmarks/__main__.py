"""`python -m benchmarks [NAME…] [--quick] [--json FILE]`: run the benchmarks, print their table,
keep it as JSON.

Exits 1 when a benchmark could not be run. A missed target is only shown, as other machines have
other figures.
"""

import argparse
import dataclasses
import datetime as dt
import json
import os
import pathlib
import platform
import signal
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version

from rich.console import Console
from rich.table import Column, Table

from benchmarks import (
    checking,
    draining,
    exporting,
    hostile,
    listings,
    matching,
    ordering,
    pages,
    posting,
    refusing,
    request_log,
    settling,
    taking,
    watching,
)
from benchmarks.comparison import Row
from benchmarks.stage import Stage

BENCHMARKS: dict[str, Callable[[Stage], list[Row]]] = {
    benchmark.__name__: benchmark
    for benchmark in (
        draining.drain,
        posting.api,
        posting.end_to_end,
        posting.fan_out,
        posting.embedded,
        posting.latency,
        draining.memory,
        taking.taking,
        ordering.statuses,
        request_log.request_log,
        checking.checking,
        exporting.exporting,
        matching.matching,
        listings.listings,
        pages.pages,
        settling.settling,
        watching.watching,
        refusing.refusing,
        hostile.hostile,
    )
}
_OUT = pathlib.Path(__file__).parent / "out"
_TABLE_WIDTH = 140


def main() -> int:
    arguments = _parse()
    # An exception, so that what was started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine = _machine()
    print(
        f"{machine['cpus']} CPUs, load average {machine['load']}: anything else that runs now is "
        "part of the figures"
    )
    with Stage(quick=arguments.quick) as stage:
        rows, failed = _run(stage, arguments.names or list(BENCHMARKS))
    _print(rows)
    path = arguments.json or _OUT / f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            _record(rows, failed) | {"quick": arguments.quick, "machine": machine},
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )
    print(f"kept in {path}")
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ringback compared with the floor, in the same run.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"benchmarks to run, of {', '.join(BENCHMARKS)} (default: all)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer events and rounds: shows that it works, measures little",
    )
    parser.add_argument(
        "--json",
        type=pathlib.Path,
        metavar="FILE",
        help="file for the figures (default: benchmarks/out/<date>.json)",
    )
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in BENCHMARKS]:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    return arguments


def _run(stage: Stage, names: list[str]) -> tuple[list[Row], list[str]]:
    """Return what was measured, and the names of benchmarks that could not be run."""
    rows, failed = [], []
    for name in names:
        try:
            rows += BENCHMARKS[name](stage)
        except Exception:  # noqa: BLE001 - the others still have figures
            traceback.print_exc()
            failed.append(name)
    return rows, failed


def _print(rows: list[Row]) -> None:
    names = ["ringback", "floor", "ratio", "target"]
    table = Table("benchmark", "what", *(_right(name) for name in names), "met")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = {None: "", True: "yes", False: "NO"}[row.met]
        table.add_row(
            row.benchmark,
            row.what,
            _number(row.figure),
            _number(row.floor),
            ratio,
            str(row.target or ""),
            met,
        )
    Console(width=_TABLE_WIDTH).print(table)


def _right(name: str) -> Column:
    return Column(name, justify="right")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _machine() -> dict[str, object]:
    """Describe the machine. `load` is how many processes wanted a CPU in the last minute."""
    return {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _record(rows: list[Row], failed: list[str]) -> dict[str, object]:
    measured = [dataclasses.asdict(row) | {"ratio": row.ratio, "met": row.met} for row in rows]
    return {"ringback": version("ringback"), "failed": failed, "rows": measured}


if __name__ == "__main__":
    sys.exit(main())
