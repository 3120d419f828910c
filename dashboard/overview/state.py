"""How Ringback itself is, in words: can it accept events, its database, its broker, its dispatchers.
Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.overview.durations import Speaker
from schemas.figures import MINUTE_MS
from schemas.readiness import Readiness
from schemas.times import UnixMs

SAMPLED_WITHIN_MS = 2.5 * MINUTE_MS
"""How long ago a dispatcher that lives sampled what waits, as one does each minute. Longer: that all
are gone is seen later. Shorter: a slow one looks gone.
"""


@dataclass(frozen=True, slots=True)
class PartState:
    """One part of Ringback."""

    name: str
    is_well: bool
    text: str


def states(
    to: Speaker,
    readiness: Readiness,
    gauges: Mapping[str, float | Mapping[str, float]],
    sampled_at: UnixMs | None,
    now: UnixMs,
) -> list[PartState]:
    """Return the state of each part. Troubles are in the words of the part that found them."""
    say, lacking = to.say, readiness.lacking
    broker = lacking.get("broker") or (
        say("works")
        if "broker_connected" in gauges
        else say("not used: events wait in the database")
    )
    return [
        PartState(
            say("Events are accepted"),
            readiness.ready,
            say("yes")
            if readiness.ready
            else lacking.get("process", say("no: neither by broker nor database")),
        ),
        PartState(
            say("Database"), "database" not in lacking, lacking.get("database", say("works"))
        ),
        PartState(say("Broker"), "broker" not in lacking, broker),
        _dispatchers(to, sampled_at, now),
    ]


def _dispatchers(to: Speaker, sampled_at: UnixMs | None, now: UnixMs) -> PartState:
    name, say = to.say("Dispatchers"), to.say
    if sampled_at is None:
        return PartState(name, False, say("none was seen yet: one reports each minute"))
    if now - sampled_at <= SAMPLED_WITHIN_MS:
        return PartState(name, True, say("at least one works"))
    ago = to.language.ago(sampled_at, now)
    return PartState(name, False, say("none works: the last one was seen %(ago)s", ago=ago))
