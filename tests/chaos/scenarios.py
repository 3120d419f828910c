"""Every scenario by name: what is broken, what is promised, and what plays it. Played by `__main__`
and by the tests here.
"""

from typing import NamedTuple, Protocol

from tests.chaos import (
    callbacks,
    crashes,
    exchanges,
    histories,
    limits,
    odd_times,
    outages,
    sizes,
    sums,
    throttling,
)
from tests.chaos.reports import Report
from tests.chaos.world import Nodes


class Play(Protocol):
    """`full`: at the size of the promise; else as briefly as the fault can be seen at all."""

    def __call__(self, nodes: Nodes, *, full: bool) -> Report: ...


class Scenario(NamedTuple):
    """One row of docs/reliability.md. Each promises besides that nothing accepted is missing."""

    fault: str
    promise: str
    play: Play


SCENARIOS: dict[str, Scenario] = {
    "kills": Scenario(
        "200 times `kill -9`, at random, of API, API workers, dispatchers, broker, database and "
        "its sessions, under load, "
        "with receivers that fail",
        "at most the deliveries in flight come twice",
        crashes.kills,
    ),
    "stops": Scenario(
        "SIGTERM every 5 s to one of two dispatchers under load",
        "no duplicates at all; exit 0",
        crashes.stops,
    ),
    "impatient-stops": Scenario(
        "SIGTERM, SIGTERM again and SIGINT while it drains, to every process in turn",
        "no duplicates; exit 0",
        crashes.impatient_stops,
    ),
    "frozen": Scenario(
        "one of two dispatchers is stopped (SIGSTOP) past its leases, and goes on",
        "the other takes over; at most what was in flight comes twice",
        crashes.frozen,
    ),
    "poison": Scenario(
        "an event whose webhook ends the process that puts it together, at every try",
        "everything else is delivered; the event is `exhausted` after 20 takes",
        crashes.poison,
    ),
    "figures": Scenario(
        "50,000 webhooks by two dispatchers; and as many again, one of the two killed meanwhile",
        "the charts' sums equal those of the attempts; by callback at most 5 s less after a kill, "
        "never more",
        sums.figures,
    ),
    "broker-refused": Scenario(
        "broker away 60 s, connections refused",
        "every event accepted, every answer within 1 s",
        outages.broker_refused,
    ),
    "broker-silent": Scenario(
        "broker away 60 s, silent",
        "every event accepted, every answer within 1 s",
        outages.broker_silent,
    ),
    "database-refused": Scenario(
        "database away 60 s, connections refused",
        "every event accepted, every answer within 1 s",
        outages.database_refused,
    ),
    "database-silent": Scenario(
        "database away 60 s, silent",
        "every event accepted, every answer within 1 s",
        outages.database_silent,
    ),
    "both-refused": Scenario(
        "broker and database away 60 s, connections refused",
        "202, or 503 with `Retry-After`, within 1 s",
        outages.both_refused,
    ),
    "both-silent": Scenario(
        "broker and database away 60 s, silent",
        "202, or 503 with `Retry-After`, within 1 s",
        outages.both_silent,
    ),
    "half-open": Scenario(
        "every connection to the broker, and a minute later to the database, is half-open; new "
        "ones are well",
        "found by limits and heartbeats; every event accepted, every answer within 1 s",
        outages.half_open,
    ),
    "cuts": Scenario(
        "every connection to broker and database is reset, each second, for 60 s",
        "every event accepted, every answer within 1 s",
        outages.cuts,
    ),
    "fail-over": Scenario(
        "the primary becomes read-only, the address leads to a standby that is promoted a while "
        "later, and once more back; no session is cut",
        "every event accepted, every answer within 1 s; `/readyz` says so; writes go on within 10 "
        "s without a restart",
        histories.fail_over,
    ),
    "restore": Scenario(
        "a back-up of five minutes ago is restored under running processes",
        "within 2 s tokens and events are as the database has them: what was revoked since lives, "
        "what was made since is gone",
        histories.restore,
    ),
    "crowd": Scenario(
        "a receiver that 1,200 tokens share dies and comes back, every process is restarted "
        "meanwhile and afterwards",
        "all tokens authenticate, all are matched, nothing is cancelled",
        histories.crowd,
    ),
    "waiting": Scenario(
        "broker and database away, nothing to do",
        "under 5 % of a core; no process ends",
        outages.waiting,
    ),
    "names-away": Scenario(
        "names of receivers cannot be found for 60 s, then no name server answers for 60 s",
        "callbacks by address do not notice",
        outages.names_away,
    ),
    "late-confirms": Scenario(
        "what the broker says comes 0.8 s late",
        "every answer within 1 s; no duplicates, though events are stored twice",
        exchanges.late_confirms,
    ),
    "thin-line": Scenario(
        "20 kB/s to and from broker and database",
        "what is accepted is delivered; no process ends",
        exchanges.thin_line,
    ),
    "memory-alarm": Scenario(
        "a memory alarm of RabbitMQ while dead letters are to be written",
        "every event accepted and delivered meanwhile; the dead letters are written afterwards",
        exchanges.memory_alarm,
    ),
    "queue-deleted": Scenario(
        "`ringback.dispatch` is deleted under us, ten times",
        "nothing missing but what the queue held at that moment, which cannot be brought back",
        exchanges.queue_deleted,
    ),
    "hanging": Scenario(
        "20 of 100 callbacks hang until the timeout, each gets 3 events a second",
        "p99 of the healthy ones (the median of ten-second windows) at most twice that without "
        "the hanging ones; no message held longer than 2 s",
        callbacks.hanging,
    ),
    "dead": Scenario(
        "a callback is dead for the whole run, with 100,000 events for it",
        "at most 200 attempts on it; another callback unaffected",
        callbacks.dead,
    ),
    "comeback": Scenario(
        "a callback is away for 120 s and comes back",
        "first delivery within 10 s and a probe's interval; the backlog in order, but for what is "
        "in flight together",
        callbacks.comeback,
    ),
    "misbehaving": Scenario(
        "endless bodies, a byte now and then, 20 MB of headers, compressed bodies, no HTTP, half "
        "answers, silence, connections never taken up",
        "memory bounded; other callbacks unaffected",
        callbacks.misbehaving,
    ),
    "throttling": Scenario(
        "two receivers take 5 a second and answer 429 with `Retry-After` to the rest, 600 events "
        "for each at once, on a schedule of 65 s",
        "at least 4 a second get through to each; nothing is exhausted",
        throttling.throttling,
    ),
    "throttling-embedded": Scenario(
        "the same, in embedded mode",
        "at least 4 a second get through to each; nothing is exhausted",
        throttling.throttling_embedded,
    ),
    "backlog": Scenario(
        "500,000 events in the broker when a dispatcher comes back",
        "a dispatcher stays below 300 MB; no duplicates",
        sizes.backlog,
    ),
    "large-backlog": Scenario(
        "3,000 events of 250 KB in the broker for two receivers, of which one hangs and one takes "
        "0.2 s; the database is away for 20 s",
        "a dispatcher stays below 350 MB",
        sizes.large_backlog,
    ),
    "largest-batches": Scenario(
        "batches of 1,000 events and 8 MiB, four at a time",
        "processes stay below 600 MB; other requests accepted",
        sizes.largest_batches,
    ),
    "around-the-limit": Scenario(
        "messages of every size around 256 KiB, each twice, by AMQP (id inside or as a property, "
        "with a time or without), by HTTP, and by the outbox",
        "no process ends; each that fits is delivered once, each other is a dead letter or "
        "answered 413; no other event is late",
        limits.around_the_limit,
    ),
    "long-run": Scenario(
        "15 minutes at 150 events a second, failing receivers, connections cut every 20 s",
        "memory of each process grows by 5 % at most after the third minute",
        sizes.long_run,
    ),
    "one-id": Scenario(
        "one id posted by 32 clients at once, half of them with other content",
        "one event, one webhook; other content is counted, logged and shown on the event",
        odd_times.one_id,
    ),
    "clock-on-services": Scenario(
        "the wall clock of API and dispatchers jumps by an hour, both ways",
        "retries come neither late nor early",
        odd_times.clock_on_services,
    ),
    "clock-embedded": Scenario(
        "the same, in embedded mode",
        "retries come neither late nor early",
        odd_times.clock_embedded,
    ),
}
