"""`python -m tests.chaos [NAME…] [--brief]`: plays scenarios, one after the other, and prints a row
for each.

Full sizes take minutes each; their figures are kept in figures.json, from which docs/reliability.md
is written. Exits 1 when a promise was not kept.
"""

import argparse
import signal
import sys
import time
import traceback

from tests.chaos import reliability
from tests.chaos.reports import Report
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import Nodes
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit


def main() -> int:
    arguments = _parse()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # unwinds, so that what was started is ended too
    if arguments.write:
        reliability.write()
        return 0
    rabbit, postgres = Rabbit(), Postgres(fsync=not arguments.brief)
    try:
        rabbit.start()
        broken = [
            name
            for name in arguments.names or SCENARIOS
            if not _play(Nodes(rabbit, postgres), name, full=not arguments.brief)
        ]
    finally:
        rabbit.close()
        postgres.close()
    print(f"not kept: {', '.join(broken)}" if broken else "every promise was kept")
    return 1 if broken else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Break things, and count what is lost."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(SCENARIOS)}; all when none is named",
    )
    parser.add_argument(
        "--brief", action="store_true", help="as the tests play them; the figures are not kept"
    )
    parser.add_argument(
        "--write", action="store_true", help="only write docs/reliability.md from the figures kept"
    )
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in SCENARIOS]:
        parser.error(f"no such scenario: {', '.join(unknown)}")
    return arguments


def _play(nodes: Nodes, name: str, *, full: bool) -> bool:
    """Whether it kept its promises."""
    began_s = time.monotonic()
    try:
        report = SCENARIOS[name].play(nodes, full=full)
    except Exception as error:  # noqa: BLE001 - one that fails costs no other its figures
        traceback.print_exc(limit=-3)
        report = Report(broken=[f"could not be played: {str(error)[:300]}"])
    took_s = time.monotonic() - began_s
    print(
        f"{'NOT KEPT' if report.broken else 'kept    '}  {name:18} "
        f"{took_s:4.0f} s  {report.line()}",
        *report.broken,
        sep="\n          · ",
        flush=True,
    )
    if full and report.figures:
        reliability.keep(name, report)
    return not report.broken


if __name__ == "__main__":
    sys.exit(main())
