"""Figures of traffic over some time: what was accepted, attempted and settled, and how long it
took. Values that can be added up; the store keeps them by minute and by hour. Pure.
"""

from enum import StrEnum

import msgspec

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.ids import CallbackId
from schemas.latency_histogram import Histogram, add_into, percentile_ms
from schemas.times import UnixMs

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

PROMPT_MS = 2_500
"""How long after its claim a delivery's first attempt counts for the first-attempt delay. One that
starts later waited for its callback, which is no delay of Ringback's. Longer: callbacks that are
busy spoil the figure. Shorter than `consumers.pipeline.intake.START_WITHIN_S`: attempts of a busy
dispatcher are left out.
"""

UNSUCCESSFUL = (DeliveryState.EXHAUSTED, DeliveryState.SUPERSEDED, DeliveryState.CANCELLED)
"""The states in which a delivery ends without success. Each has a column of its own."""


class Step(StrEnum):
    """How much time a point stands for."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"

    @property
    def ms(self) -> int:
        """The step in milliseconds."""
        return _STEPS_MS[self]


_STEPS_MS = {Step.MINUTE: MINUTE_MS, Step.FIVE_MINUTES: 5 * MINUTE_MS, Step.HOUR: HOUR_MS}

KEPT_BY_MINUTE_MS = 48 * HOUR_MS
"""How long figures are kept by minute, until they are merged to hours. Longer: more rows are read
for a chart. Shorter: yesterday's trouble is seen by the hour only.
"""

KEPT_BY_HOUR_MS = 396 * 24 * HOUR_MS
"""How long figures are kept by hour: thirteen months, so that a month can be compared with that of
the year before. Longer: more rows.
"""


def minutes_since(now: UnixMs) -> UnixMs:
    """Return the moment from which on figures are kept by minute: the beginning of an hour."""
    kept_since = now - KEPT_BY_MINUTE_MS
    return UnixMs(kept_since - kept_since % HOUR_MS)


def usual_step(since: UnixMs, until: UnixMs, now: UnixMs) -> Step:
    """Return the step with which a range makes a few hundred points. A range of up to six hours is
    shown by minute, also one that was asked for a moment ago.
    """
    length = until - since - MINUTE_MS
    if since < minutes_since(now) or length > KEPT_BY_MINUTE_MS:
        return Step.HOUR
    return Step.MINUTE if length <= 6 * HOUR_MS else Step.FIVE_MINUTES


class Figures(msgspec.Struct):
    """Counts and durations. Tests of callbacks are in none of them.

    An attempt counts in the minute in which it started, and so does what it settled. What ends
    without an attempt counts in the minute in which it ended.
    """

    accepted: int = 0
    """Events that were accepted and have been claimed, by when they were accepted."""

    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    """Attempts by outcome: one of `Outcome`, or of a newer release."""

    ended: dict[DeliveryState, int] = msgspec.field(default_factory=dict)
    """Deliveries that ended without success, by state. Each attempt that delivered ended one with
    success.
    """

    latency: Histogram = msgspec.field(default_factory=dict)
    """How long attempts took, whatever their outcome."""

    first_delay: Histogram = msgspec.field(default_factory=dict)
    """From the acceptance of an event to a first attempt that was not put off."""

    @property
    def delivered(self) -> int:
        """Attempts that delivered."""
        return self.outcomes.get(Outcome.DELIVERED, 0)

    @property
    def failed(self) -> int:
        """Attempts that did not deliver."""
        return sum(self.outcomes.values()) - self.delivered

    @property
    def failures(self) -> dict[str, int]:
        """Attempts that did not deliver, by outcome."""
        return {
            outcome: count
            for outcome, count in self.outcomes.items()
            if outcome != Outcome.DELIVERED
        }

    @property
    def success_share(self) -> float | None:
        """The share of attempts that delivered; None when there were none."""
        attempts = sum(self.outcomes.values())
        return self.delivered / attempts if attempts else None

    def add(self, other: "Figures") -> None:
        """Add what another one counted."""
        self.accepted += other.accepted
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        for state, count in other.ended.items():
            self.ended[state] = self.ended.get(state, 0) + count
        add_into(self.latency, other.latency)
        add_into(self.first_delay, other.first_delay)

    def copy(self) -> "Figures":
        """Return the same figures as a value of its own."""
        return Figures(
            self.accepted,
            self.outcomes.copy(),
            self.ended.copy(),
            self.latency.copy(),
            self.first_delay.copy(),
        )


class Percentiles(msgspec.Struct, frozen=True):
    """Three percentiles of durations in milliseconds, each to within 9 %. None: nothing was
    measured. `latency_histogram.OPEN_FROM_MS` means that long or longer.
    """

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


def percentiles(histogram: Histogram) -> Percentiles:
    """Return the percentiles of durations that were added up."""
    return Percentiles(*(_rounded(percentile_ms(histogram, share)) for share in (0.5, 0.95, 0.99)))


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 1)


class Gauges(msgspec.Struct, frozen=True):
    """What waits, as it was sampled. Of several samples, the highest of each."""

    deliveries_due: int
    """Deliveries that are due and that no dispatcher has leased; at most some number is counted."""

    oldest_due_ms: int
    """For how long the oldest of them has been due; 0: none is."""

    outbox_depth: int
    """Messages that wait in the outbox."""

    queue_depth: int | None
    """Messages that wait at the broker; None: there is no broker, or it did not answer."""


class FigurePoint(msgspec.Struct, frozen=True):
    """The figures of one step."""

    start: UnixMs
    """The beginning of the step."""

    figures: Figures | None
    """What was counted; None: nothing was, and no dispatcher ran that could have counted."""

    gauges: Gauges | None
    """What waited, at its highest; None: no sample was taken."""


class FigureSeries(msgspec.Struct, frozen=True):
    """The figures of a range, step by step."""

    since: UnixMs
    """The beginning of the first step."""

    until: UnixMs
    """The end of the last step."""

    step: Step
    """How much time each point stands for."""

    points: list[FigurePoint]
    """One for each step, oldest first."""

    total: Figures
    """All of it. Its percentiles are those of the whole range."""

    by_type: dict[str, Figures]
    """The total by event type; empty for a callback."""


class CallbackFigures(msgspec.Struct, frozen=True):
    """The figures of one callback in a range."""

    callback_id: CallbackId
    figures: Figures
