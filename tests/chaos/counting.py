"""What a scenario counts: sent, accepted, received, missing, duplicates, how late, and how long it
took to recover. Pure.

Called by the scenarios with what the load posted and what the receiver saw. An event is known by
its id, which the load chose.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from tests.chaos.receiver import Arrival

WINDOW_S = 10.0
"""Longer: fewer windows, and a stall counts in more of them. Shorter: too few events for a
percentile.
"""


class Posted(NamedTuple):
    """One event: where its webhook belongs, when it should have been posted, when its answer came
    (unix seconds), and which.

    `status` 0: the connection broke, so that it is unknown whether the event was accepted.
    `retry_after`: whether the answer had one. `said`: the body of an answer other than 202.
    """

    event_id: str
    path: str
    due_s: float
    answered_s: float
    status: int
    retry_after: bool = False
    said: str = ""


class Tally(NamedTuple):
    """`refused`: answered with anything but 202. `duplicates`: requests for what had been answered
    2xx before.
    """

    sent: int
    accepted: int
    refused: int
    unanswered: int
    received: int
    missing: int
    duplicates: int
    attempts: int


def tally(posted: Sequence[Posted], arrivals: Sequence[Arrival]) -> Tally:
    """Only what was accepted can be missing; only what the receiver took can be a duplicate."""
    wanted = {(one.path, one.event_id) for one in posted if one.status == 202}
    taken = Counter((one.path, one.event_id) for one in arrivals if _is_ok(one))
    unanswered = sum(one.status == 0 for one in posted)
    return Tally(
        sent=len(posted),
        accepted=len(wanted),
        refused=len(posted) - len(wanted) - unanswered,
        unanswered=unanswered,
        received=len(taken),
        missing=len(wanted - taken.keys()),
        duplicates=duplicates(arrivals),
        attempts=len(arrivals),
    )


def missing(posted: Iterable[Posted], arrivals: Iterable[Arrival]) -> set[str]:
    """Ids that were accepted and never taken by their receiver."""
    taken = {(one.path, one.event_id) for one in arrivals if _is_ok(one)}
    return {
        one.event_id
        for one in posted
        if one.status == 202 and (one.path, one.event_id) not in taken
    }


def duplicates(arrivals: Iterable[Arrival]) -> int:
    """Requests that came after the receiver had answered 2xx for the same event. A retry after a
    failure is none.
    """
    taken: set[tuple[str, str]] = set()
    twice = 0
    for one in arrivals:
        twice += (one.path, one.event_id) in taken
        if _is_ok(one):
            taken.add((one.path, one.event_id))
    return twice


def delays_s(
    posted: Iterable[Posted], arrivals: Iterable[Arrival], paths: Collection[str] | None = None
) -> list[float]:
    """From when an event should have been posted to when its webhook was first taken, sorted; at
    these paths, or at all.
    """
    first = _first_taken(arrivals)
    found = (
        (one, first.get((one.path, one.event_id)))
        for one in posted
        if paths is None or one.path in paths
    )
    return sorted(at_s - one.due_s for one, at_s in found if at_s is not None)


def percentile(ordered: Sequence[float], part: float) -> float:
    """Quantile of sorted values; `part` from 0 to 1. 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def usual_s(
    posted: Iterable[Posted], arrivals: Iterable[Arrival], paths: Collection[str], part: float
) -> float:
    """The median over windows of ten seconds of their percentile: a disk that stands still for a
    second moves one window, not the figure.
    """
    first = _first_taken(arrivals)
    windows: defaultdict[int, list[float]] = defaultdict(list)
    for one in posted:
        if one.path in paths and (one.path, one.event_id) in first:
            windows[int(one.due_s / WINDOW_S)].append(first[one.path, one.event_id] - one.due_s)
    return (
        statistics.median(percentile(sorted(delays), part) for delays in windows.values())
        if windows
        else 0.0
    )


def recovered_s(posted: Iterable[Posted], arrivals: Iterable[Arrival], healed_s: float) -> float:
    """From the end of the fault until the last of what had been accepted before it was taken; 0
    when all was taken by then.
    """
    first = _first_taken(arrivals)
    waited = (
        first.get((one.path, one.event_id), float("inf"))
        for one in posted
        if one.status == 202 and one.answered_s <= healed_s
    )
    return max(0.0, max(waited, default=healed_s) - healed_s)


def out_of_turn(posted: Iterable[Posted], arrivals: Iterable[Arrival], path: str) -> int:
    """By how many places at most an event overtook older ones that were accepted before it: 0 is
    perfect order.
    """
    first = _first_taken(arrivals)
    order = sorted(
        (one for one in posted if one.path == path and one.status == 202),
        key=lambda one: one.answered_s,
    )
    came = sorted(
        (one for one in order if (path, one.event_id) in first),
        key=lambda one: first[path, one.event_id],
    )
    rank = {one.event_id: place for place, one in enumerate(order)}
    return max((rank[one.event_id] - place for place, one in enumerate(came)), default=0)


def _first_taken(arrivals: Iterable[Arrival]) -> dict[tuple[str, str], float]:
    first: dict[tuple[str, str], float] = {}
    for one in arrivals:
        if _is_ok(one):
            first.setdefault((one.path, one.event_id), one.at_s)
    return first


def _is_ok(arrival: Arrival) -> bool:
    return 200 <= arrival.status < 300
