"""Every scenario by name: what is broken, what is promised, and what plays it. Played by `__main__` and by the tests here."""

from typing import NamedTuple, Protocol

from tests.chaos import callbacks, crashes, exchanges, odd_times, outages, sizes
from tests.chaos.reports import Report
from tests.chaos.world import Nodes


class Play(Protocol):
    """`full`: at the size of the promise; else as briefly as the fault can be seen at all."""

    def __call__(self, nodes: Nodes, *, full: bool) -> Report: ...


class Scenario(NamedTuple):
    """One row of docs/reliability.md."""

    fault: str
    promise: str
    play: Play


SCENARIOS: dict[str, Scenario] = {
    "broker-refused": Scenario("refused", "x", outages.broker_refused),
    "broker-silent": Scenario("refused", "x", outages.broker_silent),
    "database-refused": Scenario("refused", "x", outages.database_refused),
    "database-silent": Scenario("refused", "x", outages.database_silent),
    "both-refused": Scenario("refused", "x", outages.both_refused),
    "both-silent": Scenario("refused", "x", outages.both_silent),
    "half-open": Scenario("refused", "x", outages.half_open),
    "cuts": Scenario("refused", "x", outages.cuts),
    "waiting": Scenario("refused", "x", outages.waiting),
    "kills": Scenario("refused", "x", crashes.kills),
    "stops": Scenario("refused", "x", crashes.stops),
    "impatient-stops": Scenario("refused", "x", crashes.impatient_stops),
    "frozen": Scenario("refused", "x", crashes.frozen),
    "poison": Scenario("refused", "x", crashes.poison),
    "late-confirms": Scenario("refused", "x", exchanges.late_confirms),
    "thin-line": Scenario("refused", "x", exchanges.thin_line),
    "memory-alarm": Scenario("refused", "x", exchanges.memory_alarm),
    "queue-deleted": Scenario("refused", "x", exchanges.queue_deleted),
    "hanging": Scenario("refused", "x", callbacks.hanging),
    "dead": Scenario("refused", "x", callbacks.dead),
    "comeback": Scenario("refused", "x", callbacks.comeback),
    "misbehaving": Scenario("refused", "x", callbacks.misbehaving),
    "backlog": Scenario("refused", "x", sizes.backlog),
    "largest-batches": Scenario("refused", "x", sizes.largest_batches),
    "long-run": Scenario("refused", "x", sizes.long_run),
    "one-id": Scenario("refused", "x", odd_times.one_id),
    "clock-on-services": Scenario("refused", "x", odd_times.clock_on_services),
    "clock-embedded": Scenario("refused", "x", odd_times.clock_embedded),
    "names-away": Scenario("refused", "x", outages.names_away),
}
