"""Whether it is us: many callbacks that begin to fail on the network within the same minutes point
to the sender's side, not to the receivers. Pure. Called by the store; shown by the pages.
"""

from collections.abc import Iterable, Sequence

import msgspec

from schemas.deliveries.deliveries import Outcome
from schemas.ids import CallbackId
from schemas.times import UnixMs

WINDOW_MS = 5 * 60_000
"""Within how many milliseconds callbacks have to begin to fail. Longer: receivers that fail by
chance look like one cause. Shorter: quiet callbacks, whose first attempt comes later, are missed.
"""

LEAST_ATTEMPTS = 5
"""Attempts in the last WINDOW_MS that make a callback count. More: quiet callbacks say nothing.
Fewer: a callback that was called once outvotes others.
"""

LEAST_CALLBACKS = 3
"""Callbacks that have to fail. Fewer: an installation with two suppliers blames itself for each of
their outages. More: small installations are never warned.
"""

OF_THE_NETWORK = frozenset({Outcome.DNS, Outcome.CONNECT, Outcome.TLS})
"""Outcomes that a broken network, resolver, proxy or CA file of ours gives to all callbacks."""


class CallbackLately(msgspec.Struct, frozen=True):
    """What a callback met in the last minutes."""

    id: CallbackId
    """The callback."""

    attempts: int = 0
    """Attempts in the last WINDOW_MS; beyond LEAST_ATTEMPTS their number does not matter."""

    failing_since: UnixMs | None = None
    """Since when it fails; None: it works."""

    outcome: Outcome | None = None
    """How its latest known attempt ended; None: unknown."""


class SharedOutage(msgspec.Struct, frozen=True):
    """Many callbacks that began to fail together."""

    since: UnixMs
    """When the first of them began."""

    failing: int
    """How many they are."""

    active: int
    """How many callbacks were active lately, these included."""

    outcomes: Sequence[Outcome]
    """How they fail, the most frequent first."""


def shared_outage(callbacks: Iterable[CallbackLately]) -> SharedOutage | None:
    """Return the outage that more than half of the active callbacks share, or None."""
    known = list(callbacks)
    failing = sorted(
        (
            (one.failing_since, one.id, one.outcome)
            for one in known
            if one.failing_since is not None and one.outcome in OF_THE_NETWORK
        ),
    )
    began = [since for since, _, _ in failing]
    first, end = _densest(began)
    together = failing[first:end]
    members = {callback_id for _, callback_id, _ in together}
    others = sum(one.attempts >= LEAST_ATTEMPTS for one in known if one.id not in members)
    active = len(together) + others
    if len(together) < LEAST_CALLBACKS or 2 * len(together) <= active:
        return None
    outcomes = [outcome for _, _, outcome in together if outcome is not None]
    by_count = sorted(set(outcomes), key=lambda outcome: (-outcomes.count(outcome), outcome))
    return SharedOutage(began[first], len(together), active, by_count)


def _densest(began: Sequence[UnixMs]) -> tuple[int, int]:
    """Return the slice of the moments, which are sorted, with the most of them within WINDOW_MS."""
    best, first = (0, 0), 0
    for last, moment in enumerate(began):
        while moment - began[first] > WINDOW_MS:
            first += 1
        if last + 1 - first > best[1] - best[0]:
            best = first, last + 1
    return best
