"""Token buckets: how many requests are let through, and what the headers say of it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.rate_limits import (
    UNKNOWN_TOKENS,
    UNKNOWN_TOKENS_S,
    Buckets,
    RateLimit,
    client_network,
    in_seconds,
    unknown_token_throttle,
)

S = 10**9
ROUNDING = 1e-6  # of the test's own sums


@given(
    st.floats(min_value=0.1, max_value=1_000_000),
    st.lists(st.integers(min_value=0, max_value=2 * S), min_size=1, max_size=60),
)
def test_never_more_than_a_burst_and_the_rate_times_the_time_are_let_through(
    per_second: float, pauses_ns: list[int]
) -> None:
    """In any stretch of time, however the requests are spread: that is what a limit is."""
    limit, now_ns, let_through = RateLimit(per_second), 0, list[int]()
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        for _ in range(3):
            if not limit.take("tok_1", now_ns)[0].wait_ns:
                let_through.append(now_ns)

    for first in range(len(let_through)):
        for last in range(first, len(let_through)):
            took_s = (let_through[last] - let_through[first]) / S
            assert last - first + 1 <= max(1, per_second) + per_second * took_s + ROUNDING


@given(st.floats(min_value=0.1, max_value=200))
def test_a_client_that_waits_as_asked_gets_the_rate_and_no_more(per_second: float) -> None:
    """The greediest client that there is. A wait that were too short would be answered with another
    one.
    """
    limit, now_ns = RateLimit(per_second), 0
    while not (wait_ns := limit.take("tok_1", now_ns)[0].wait_ns):
        pass

    for count in range(1, 200):
        assert limit.take("tok_1", now_ns + wait_ns - 1)[0].wait_ns == 1
        now_ns += wait_ns
        assert limit.take("tok_1", now_ns)[0].wait_ns == 0
        assert count <= per_second * now_ns / S + ROUNDING
        wait_ns = limit.take("tok_1", now_ns)[0].wait_ns


def test_a_burst_of_a_seconds_worth_is_let_through_and_then_the_rate() -> None:
    """The plainest case, with its numbers."""
    buckets = Buckets(S // 10, 10)

    assert [buckets.take("tok_1", 0).left for _ in range(10)] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert buckets.take("tok_1", 0).wait_ns == S // 10
    assert buckets.take("tok_1", S // 10).wait_ns == 0
    assert buckets.take("tok_1", S // 10).wait_ns == S // 10
    assert buckets.take("tok_1", 2 * S).left == 9, "it fills up to its brim, and no higher"


def test_each_key_has_a_bucket_of_its_own() -> None:
    """One token's haste must not cost another."""
    buckets = Buckets(S, 1)

    assert [buckets.take(key, 0).wait_ns for key in ("tok_1", "tok_2", "tok_1")] == [0, 0, S]


def test_asking_how_long_to_wait_takes_nothing() -> None:
    """The throttle of unknown tokens is asked before each look-up, and charged for each that
    failed.
    """
    buckets = Buckets(S, 1)

    assert [buckets.wait_ns("a", 0) for _ in range(3)] == [0, 0, 0]
    buckets.take("a", 0)
    assert buckets.wait_ns("a", S // 4) == S - S // 4


def test_what_is_remembered_is_bounded_and_the_idlest_is_forgotten() -> None:
    """Addresses are chosen by strangers."""
    buckets = Buckets(S, 1, max_keys=3)
    for key in ("a", "b", "c", "a", "d"):
        buckets.take(key, 0)

    assert len(buckets._full_at_ns) == 3
    assert [buckets.wait_ns(key, 0) for key in ("a", "c", "d")] == [0, S, S], (
        "what was refused does not count as used"
    )


@pytest.mark.parametrize(
    ("per_second", "policy", "header"),
    [
        (100, '"default";q=100;w=1', '"default";r=99;t=1'),
        (3, '"default";q=3;w=1', '"default";r=2;t=1'),
        (2.5, '"default";q=2;w=1', '"default";r=1;t=1'),
        (1, '"default";q=1;w=1', '"default";r=0;t=1'),
        (0.1, '"default";q=1;w=10', '"default";r=0;t=10'),
    ],
)
def test_the_header_fields_tell_quota_and_rest_in_whole_numbers(
    per_second: float, policy: str, header: str
) -> None:
    """Structured fields take integers there; the header never promises more than is let through."""
    _, fields = RateLimit(per_second).take("tok_1", 0)

    assert dict(fields) == {"RateLimit-Policy": policy, "RateLimit": header}


def test_the_seconds_to_wait_are_whole_and_not_none() -> None:
    """`Retry-After: 0` would be an invitation."""
    waits_ns = (1, S // 2, S, S + S // 1000, 3 * S)

    assert [in_seconds(wait_ns) for wait_ns in waits_ns] == [1, 1, 1, 2, 3]
    assert all(a <= b for a, b in pairwise(map(in_seconds, waits_ns)))


def test_unknown_tokens_are_throttled_after_some_within_a_minute() -> None:
    """The numbers of the documentation."""
    buckets = unknown_token_throttle()

    assert [buckets.take("a", 0).wait_ns for _ in range(UNKNOWN_TOKENS + 1)] == [
        0
    ] * UNKNOWN_TOKENS + [UNKNOWN_TOKENS_S * S // UNKNOWN_TOKENS]
    assert (UNKNOWN_TOKENS, UNKNOWN_TOKENS_S) == (100, 60)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
        ("a:b", "a:c", False),
    ],
)
def test_of_ipv6_a_caller_is_a_network(one: str, other: str, same: bool) -> None:
    """Everybody has more addresses there than we could remember."""
    assert (client_network(one) == client_network(other)) is same
