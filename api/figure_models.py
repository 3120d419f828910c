"""The bodies of responses with figures of traffic. Their fields are the JSON; their docstrings and
types are part of the OpenAPI document.
"""

import msgspec

from schemas.figures import Step


class PercentilesAnswer(msgspec.Struct):
    """Percentiles of durations in milliseconds, each to within 9 %. null: nothing was measured.
    32768 means that long or longer.

    They are computed from all durations of the period, never from other percentiles.
    """

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class CountsAnswer(msgspec.Struct):
    """What was counted in a period. Tests are not counted.

    `accepted`: events, by when they were accepted; null for a callback. `delivered` and `failed`:
    attempts, by when they started. `failures`: the failed ones by outcome. `exhausted`,
    `superseded` and `cancelled`: deliveries that ended so.

    `success_share`: the delivered attempts as a share of all; null if there are none.

    `latency`: how long attempts took, whatever their outcome. `first_attempt_delay`: from an
    event's acceptance to a first attempt that did not have to wait for its callback; null for a
    callback.
    """

    accepted: int | None
    delivered: int
    failed: int
    failures: dict[str, int]
    exhausted: int
    superseded: int
    cancelled: int
    success_share: float | None
    latency: PercentilesAnswer
    first_attempt_delay: PercentilesAnswer | None


class WaitingAnswer(msgspec.Struct):
    """What waited, sampled once a minute; of several samples, the highest of each.

    `deliveries_due`: deliveries that were due and that no dispatcher had; at most 100,000 are
    counted. `oldest_due_s`: for how long the oldest of them had been due. `outbox_depth`: messages
    in the outbox. `queue_depth`: messages at the broker; null: there is none, or it did not answer.
    """

    deliveries_due: int
    oldest_due_s: float
    outbox_depth: int
    queue_depth: int | None


class FigurePointAnswer(msgspec.Struct):
    """The figures from `start` on, for one step.

    `counts` is null where nothing was counted and no dispatcher ran that could have. `waiting` is
    null where no sample was taken. Both are gaps, not zeros.
    """

    start: str
    counts: CountsAnswer | None
    waiting: WaitingAnswer | None


class FiguresAnswer(msgspec.Struct, rename={"since": "from"}):
    """Figures of traffic over time.

    `from` and `until` are the beginning of the first step and the end of the last one. `total`:
    all of it. `by_type`: the total by event type; empty for a callback.
    """

    since: str
    until: str
    step: Step
    total: CountsAnswer
    by_type: dict[str, CountsAnswer]
    points: list[FigurePointAnswer]
