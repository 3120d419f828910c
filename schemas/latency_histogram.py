"""Histograms of durations that can be added up: counts by bucket, four buckets to each doubling.

Bucket `b` holds the durations from 2^(b/4) to before 2^((b+1)/4) milliseconds. So one number that
stands for a bucket is at most 9 % from every duration in it, from 1 ms to OPEN_FROM_MS. Percentiles
come from counts that were added up, never from other percentiles. Pure.
"""

import math
import struct
from collections.abc import Iterable

Histogram = dict[int, int]
"""How many durations each bucket holds. Buckets that hold none are left out."""

OPEN_BUCKET = 60
"""The last bucket, which holds everything longer."""

OPEN_FROM_MS = 2 ** (OPEN_BUCKET // 4)
"""The shortest duration of the last bucket: 32.768 s. Longer ones look alike."""

_PAIR = struct.Struct("<BI")  # the bucket, and its count
_MAX_COUNT = 2**32 - 1


def _bucket_of(ms: int) -> int:
    # floor(4 · log2(ms)), in whole numbers: floats are wrong at some limits
    return min(OPEN_BUCKET, (ms**4).bit_length() - 1) if ms > 0 else 0


_SHORT = bytes(map(_bucket_of, range(2048)))


def bucket_of(ms: int) -> int:
    """Return the bucket of a duration. Less than a millisecond counts as one."""
    return _SHORT[ms] if 0 <= ms < 2048 else _bucket_of(ms)


def count_into(histogram: Histogram, ms: int) -> None:
    """Count one duration."""
    bucket = bucket_of(ms)
    histogram[bucket] = histogram.get(bucket, 0) + 1


def add_into(histogram: Histogram, other: Histogram) -> None:
    """Add the counts of another histogram."""
    for bucket, count in other.items():
        histogram[bucket] = histogram.get(bucket, 0) + count


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of histograms."""
    total: Histogram = {}
    for histogram in histograms:
        add_into(total, histogram)
    return total


def total(histogram: Histogram) -> int:
    """Return how many durations were counted."""
    return sum(histogram.values())


def encoded(histogram: Histogram) -> bytes | None:
    """Return a histogram as it is stored, five bytes for each bucket; None for an empty one."""
    return (
        b"".join(
            [_PAIR.pack(bucket, min(histogram[bucket], _MAX_COUNT)) for bucket in sorted(histogram)]
        )
        or None
    )


def add_encoded(histogram: Histogram, stored: bytes | None) -> None:
    """Add the counts of a stored histogram. Raises ValueError when it is none."""
    if not stored:
        return
    try:
        for bucket, count in _PAIR.iter_unpack(stored):
            histogram[bucket] = histogram.get(bucket, 0) + count
    except struct.error:
        raise ValueError(f"no histogram: {stored[:20]!r}") from None


def decoded(stored: bytes | None) -> Histogram:
    """Return a stored histogram. Raises ValueError when it is none."""
    histogram: Histogram = {}
    add_encoded(histogram, stored)
    return histogram


def percentile_ms(histogram: Histogram, share: float) -> float | None:
    """Return the duration that a share of all durations do not exceed, to within 9 %; None when
    there are none. OPEN_FROM_MS means that long or longer.
    """
    bucket = _bucket_at(histogram, share)
    return None if bucket is None else typical_ms(bucket)


def percentile_bound_ms(histogram: Histogram, share: float) -> int | None:
    """Return a duration that a share of all durations certainly do not exceed: the longest one of
    the bucket. None when there are no durations, and when the bucket is the last, which has no end.
    """
    bucket = _bucket_at(histogram, share)
    return None if bucket is None else longest_ms(bucket)


def typical_ms(bucket: int) -> float:
    """Return the number whose relative distance from the shortest and the longest duration of a
    bucket is the same.
    """
    longest = longest_ms(bucket)
    if longest is None:
        return float(OPEN_FROM_MS)
    shortest = math.ceil(2 ** (bucket / 4))
    return 2 * shortest * longest / (shortest + longest)


def longest_ms(bucket: int) -> int | None:
    """Return the longest duration of a bucket in whole milliseconds; None for the last bucket."""
    return None if bucket >= OPEN_BUCKET else math.ceil(2 ** ((bucket + 1) / 4)) - 1


def _bucket_at(histogram: Histogram, share: float) -> int | None:
    """Return the bucket of the duration with this rank (nearest rank, counted from 1)."""
    left = max(1, math.ceil(share * total(histogram)))
    for bucket in sorted(histogram):
        left -= histogram[bucket]
        if left <= 0:
            return bucket
    return None
