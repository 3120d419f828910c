"""Durations in few characters, and percentiles as upper bounds. Pure."""

import math
from typing import Protocol

from dashboard.languages import Language
from schemas.latency_histogram import OPEN_FROM_MS, Histogram, percentile_bound_ms

NONE = "\u2013"
"""What stands where there is no value: a dash."""


class Speaker(Protocol):
    """Who says a text in the person's language: a visit."""

    @property
    def language(self) -> Language: ...
    def say(self, text: str, **values: object) -> str: ...


def bound_ms(histogram: Histogram, share: float) -> int | None:
    """Return how long a share of all durations took at most; None without durations. OPEN_FROM_MS
    stands for that long or longer.
    """
    if not histogram:
        return None
    return percentile_bound_ms(histogram, share) or OPEN_FROM_MS


def at_most(to: Speaker, ms: int | None) -> str:
    """Return an upper bound such as "≤ 240 ms"; a dash without one."""
    if ms is None:
        return NONE
    if ms >= OPEN_FROM_MS:
        return f"> {duration(to, OPEN_FROM_MS, round_up=False)}"
    return f"≤ {duration(to, ms)}"


def duration(to: Speaker, ms: int, *, round_up: bool = True) -> str:
    """Return a duration with two digits, such as "240 ms" or "1.9 s"; longer ones in words."""
    if ms >= 120_000:
        return to.language.span(ms / 1000)
    size = 10 ** max(0, len(str(ms)) - 2)
    rounded = (math.ceil if round_up else math.floor)(ms / size) * size
    if rounded < 1000:
        return to.say("%(ms)s ms", ms=to.language.number(rounded))
    return to.say("%(seconds)s s", seconds=to.language.number(rounded / 1000))
