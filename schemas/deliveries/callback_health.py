"""The health of callbacks: what attempts report about a callback, and when a failing one is probed.

The dispatcher makes the reports, the settler writes them together with the attempt's outcome, and
`store.tokens.callback_health` decides whether a report still applies. Pure.
"""

import datetime as dt
from enum import StrEnum
from math import inf

import msgspec

from schemas.ids import CallbackId
from schemas.times import UnixMs

FIRST_PROBE_S = 5.0
"""Seconds from a breaker's opening to its first probe. Longer: a receiver that only restarted waits
longer for its backlog. Shorter: a dead receiver gets more probes.
"""

LONGEST_PROBE_S = 300.0
"""The longest interval between probes, in seconds. Longer: a receiver that recovers after hours
waits longer for its backlog. Shorter: a dead receiver gets more probes.
"""

MIN_HORIZON = dt.timedelta(days=2)
"""The shortest time for which deliveries to a receiver that throttles everything are retried,
however short the schedule is. A receiver may ask for a pause of a day. Shorter: deliveries are
given up while they wait as the receiver asked. Longer: some arrive after the receiver has forgotten
the ids by which it recognizes duplicates.
"""

LONGEST_PAUSE_S = 24 * 3600.0
"""The longest pause, in seconds, that a receiver can ask for. Larger: a wrong header can outlast
the whole retry schedule. Smaller: a receiver that closes for the day gets attempts that it refuses.
"""

PLAUSIBLE_PAUSE_MS = round(LONGEST_PAUSE_S * 1000) + 60_000
"""How far ahead the end of a pause may be: a little more than the longest pause, because clocks are
read at different moments. Longer: a pause that was stored while a clock was ahead lasts longer.
Shorter than the longest pause: correct pauses are ignored.
"""

JITTER_SHARE = 0.1
"""The share by which an interval between probes may vary. Larger: callbacks that failed together
are probed further apart. Smaller: intervals are closer to the schedule.
"""


class CallbackState(StrEnum):
    """Whether a callback is called, and if not, why."""

    HEALTHY = "healthy"
    """Deliveries are sent."""

    FAILING = "failing"
    """The breaker is open: only probes are sent."""

    DISABLED = "disabled"
    """Ringback disabled the callback; a person must enable it."""

    OFF = "off"
    """A person switched the callback off."""


MAY_BE_CALLED = frozenset({CallbackState.HEALTHY, CallbackState.FAILING})
"""The states in which a callback may be called, be it by probes only."""


class HealthFinding(StrEnum):
    """What an attempt says about its callback, apart from its own delivery."""

    FAILING = "failing"
    """So many attempts failed in a row that the breaker opens: only probes are sent."""

    PROBE_FAILED = "probe_failed"
    """A probe failed: the next one comes later."""

    LASTING = "lasting"
    """No attempt of this process has succeeded for so long that the callback is disabled, unless
    the store knows of a success.
    """

    WORKS = "works"
    """An attempt succeeded: the breaker closes."""

    THROTTLED = "throttled"
    """The receiver asked for a pause: nothing automatic is sent until it ends."""

    ACCEPTS = "accepts"
    """A callback that had been throttled for a while accepted an attempt."""

    USELESS = "useless"
    """The receiver answered 410: the callback is disabled until a person enables it."""


class HealthReport(msgspec.Struct, frozen=True):
    """A finding about one generation of a callback; it says nothing about a later generation."""

    callback_id: CallbackId
    """The callback that was called."""

    generation: int
    """The callback's generation when the attempt started."""

    finding: HealthFinding
    """What the attempt says about the callback."""

    failing_for_s: float = 0.0
    """Seconds for which attempts of this process had failed when the report was made."""

    reason: str | None = None
    """The reason that is shown when the callback is disabled."""

    jitter: float = 0.0
    """Between -1 and 1: varies the time of the next probe."""

    disable_after_s: float = inf
    """Seconds without a success, by the store's clock, after which the callback is disabled."""

    pause_s: float = 0.0
    """Seconds for which nothing automatic is sent, counted from the end of the attempt."""


def plausible_pause_end(until: UnixMs | None, now: UnixMs) -> UnixMs | None:
    """Return the stored end of a pause, or None when there is none. An end that is further ahead
    than any pause was written by a wrong clock and counts as none.
    """
    return until if until is not None and until <= now + PLAUSIBLE_PAUSE_MS else None


def throttle_horizon(schedule_total: dt.timedelta) -> dt.timedelta:
    """Return how long a delivery is retried at a receiver that throttles everything."""
    return max(schedule_total, MIN_HORIZON)


def probe_delay_s(probes: int, jitter: float) -> float:
    """Return the seconds until the next probe after `probes` that failed (0: the breaker has just
    opened). The delay doubles up to `LONGEST_PROBE_S`.
    """
    doubled = FIRST_PROBE_S * 2.0 ** min(probes, 16)
    return min(doubled, LONGEST_PROBE_S) * (1 + JITTER_SHARE * jitter)
