"""How callbacks fare: what an attempt found out about one, and when a failing one is probed.

The dispatcher finds it out, settling writes it beside the attempt's outcome,
`store.tokens.callback_health` judges whether it still applies. Pure.
"""

import datetime as dt
from enum import StrEnum
from math import inf

import msgspec

from schemas.ids import CallbackId
from schemas.times import UnixMs

FIRST_PROBE_S = 5.0
"""From a breaker's opening to its first probe. Longer: a receiver that was only restarted waits
longer for what came meanwhile.
"""

LONGEST_PROBE_S = 300.0
"""The longest interval between probes. Longer: one that comes back after hours waits longer for its
backlog. Shorter: a dead one is called more often in vain.
"""

MIN_HORIZON = dt.timedelta(days=2)
"""How long what waits for a receiver that throttles everything is kept at least, however short the
schedule: a receiver may ask for a day, and is not charged for it. Shorter: what waits as it asked
is given up. Longer: what nobody takes comes later than receivers remember ids for.
"""

LONGEST_PAUSE_S = 24 * 3600.0
"""The longest that a receiver may put us off. Larger: a wrong header can outlast the whole retry
schedule. Smaller: a receiver that closes for the day is called in vain.
"""

BELIEVED_MS = round(LONGEST_PAUSE_S * 1000) + 60_000
"""So far ahead the end of a pause may be: a little more than the longest, as clocks are read at
different moments. Longer: what a clock wrote that was ahead for a while holds for longer.
"""

JITTER_SHARE = 0.1
"""How far an interval may move, so that what failed together is not probed together for ever."""


class HealthFinding(StrEnum):
    """What an attempt says about its callback beyond its own delivery."""

    FAILING = "failing"  # nothing succeeded for a while: no attempts but probes
    PROBE_FAILED = "probe_failed"
    # nothing succeeded here for so long that it is to be disabled, if the store knows no better
    LASTING = "lasting"
    WORKS = "works"
    THROTTLED = (
        "throttled"  # its receiver takes no more for a while: nothing automatic is sent until then
    )
    TAKES = "takes"  # and now it takes something again
    USELESS = "useless"  # to be disabled, until a person enables it


class HealthReport(msgspec.Struct, frozen=True):
    """A finding about the callback as it was in `generation`; it says nothing about a later one.

    `failing_for_s`: how long it had been failing here when this was found out; after `disable_after_s` without a success, by the
    store's clock, it is to be disabled. `reason`: why, in words. `jitter`, between -1 and 1, moves the next probe. `pause_s`: for how
    long it is to be left alone.
    """

    callback_id: CallbackId
    generation: int
    finding: HealthFinding
    failing_for_s: float = 0.0
    reason: str | None = None
    jitter: float = 0.0
    disable_after_s: float = inf
    pause_s: float = 0.0


def believed(until: UnixMs | None, now: UnixMs) -> UnixMs | None:
    """The end of a pause as it is stored; None when there is none, or it was written by a clock
    that has been set right since: no pause is so long.
    """
    return until if until is not None and until <= now + BELIEVED_MS else None


def patience(horizon: dt.timedelta) -> dt.timedelta:
    """How long a delivery waits for a receiver that throttles and takes nothing; `horizon` is the
    schedule's total.
    """
    return max(horizon, MIN_HORIZON)


def probe_delay_s(probes: int, jitter: float) -> float:
    """Until the next probe, after `probes` that failed (0: the breaker has just opened): doubling,
    up to five minutes.
    """
    doubled = FIRST_PROBE_S * 2.0 ** min(probes, 16)
    return min(doubled, LONGEST_PROBE_S) * (1 + JITTER_SHARE * jitter)
