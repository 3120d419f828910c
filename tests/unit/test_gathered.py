"""Counters on the hot path: what is gathered is handed over once, and takes little memory."""

import sys

from ringback.observability.gathered import GatheredCounter


def test_single_and_larger_counts_are_added_up() -> None:
    counted: dict[tuple[str, ...], float] = {}
    counter = GatheredCounter(counted.__setitem__)

    for _ in range(3):
        counter.add("a", "x")
    counter.add("a", "x", count=10)
    counter.add("b", count=5)
    counter.flush()

    assert counted == {("a", "x"): 13, ("b",): 5}


def test_a_large_count_takes_no_more_memory_than_a_small_one() -> None:
    """Deleting a callback may cancel millions of deliveries at once."""
    counted: dict[tuple[str, ...], float] = {}
    counter = GatheredCounter(counted.__setitem__)

    counter.add("a", count=10_000_000)

    assert sum(sys.getsizeof(part) for part in vars(counter).values()) < 10_000
    counter.flush()
    assert counted == {("a",): 10_000_000}
