"""The rules of replacing a token's secrets: how long an old one may overlap with the new one."""

import datetime as dt
from collections.abc import Sequence

from schemas.errors import Conflict, Fault, Invalid
from schemas.times import UnixMs
from schemas.tokens.tokens import DatedSecret

MAX_OVERLAP = dt.timedelta(days=7)
"""How long a replaced secret may live on. Longer: a leaked secret stays useful longer. Shorter: a
supplier has less time to install the new one.
"""

MAX_SIGNING_SECRETS = 5
"""Signing secrets that sign at the same time, while they are rotated one after the other. More: a
longer header, which receivers begin to refuse at some 8 KB, and more work for each webhook. Fewer:
a rotation has to wait for the ones before.
"""


def overlap_ms(overlap: dt.timedelta) -> int:
    """Return an overlap in milliseconds. Raises Invalid when it is negative or too long."""
    if not dt.timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid("invalid overlap", faults=[Fault("an overlap is 0s to 7d", "/overlap")])
    return overlap // dt.timedelta(milliseconds=1)


def overlapping(keys: Sequence[DatedSecret], until: UnixMs, now: UnixMs) -> list[DatedSecret]:
    """Return the keys that still sign next to a new one, until `until` or their own earlier end.

    Raises Conflict when there are too many.
    """
    kept = (
        [
            DatedSecret(key.value, UnixMs(min(until, key.until or until)))
            for key in keys
            if key.is_valid(now)
        ]
        if until > now
        else []
    )
    if len(kept) >= MAX_SIGNING_SECRETS:
        raise Conflict(
            f"{len(kept)} signing secrets of this token sign already: wait until one ends, or end"
            " them all with the overlap 0s"
        )
    return kept
