"""Whether it is us: when many callbacks begin to fail together."""

import pytest

from schemas.deliveries.deliveries import Outcome
from schemas.ids import CallbackId
from schemas.shared_outage import WINDOW_MS, CallbackLately, shared_outage
from schemas.times import UnixMs

NOW = 10**12


def failing(
    number: int, since: int = NOW, outcome: Outcome | None = Outcome.CONNECT
) -> CallbackLately:
    return CallbackLately(
        CallbackId(f"failing-{number}"), failing_since=UnixMs(since), outcome=outcome
    )


def active(number: int, attempts: int = 5) -> CallbackLately:
    return CallbackLately(CallbackId(f"active-{number}"), attempts=attempts)


def test_when_most_begin_to_fail_together_it_is_us() -> None:
    """40 of 50 suppliers do not lose their network in the same minute."""
    since = [failing(number, NOW + 1_000 * number) for number in range(40)]

    found = shared_outage([*since, *(active(number) for number in range(10))])

    assert found
    assert (found.since, found.failing, found.active) == (NOW, 40, 50)
    assert found.outcomes == [Outcome.CONNECT]


def test_half_of_them_is_not_most() -> None:
    """The others show that our side works."""
    half = [failing(number) for number in range(5)] + [active(number) for number in range(5)]

    assert shared_outage(half) is None
    assert shared_outage(half[:-1]) is not None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_receivers_that_are_down_are_their_own_trouble(count: int) -> None:
    """Also where there are no others."""
    assert shared_outage(failing(number) for number in range(count)) is None


def test_those_that_began_to_fail_at_other_times_do_not_count() -> None:
    """A supplier that went out of business last year says nothing about now."""
    apart = [failing(number, NOW + number * (WINDOW_MS + 1)) for number in range(9)]

    assert shared_outage(apart) is None


def test_callbacks_that_were_hardly_called_have_no_vote() -> None:
    """They may be as broken, only no event came for them."""
    quiet = [active(number, attempts=4) for number in range(50)]

    assert shared_outage([*(failing(number) for number in range(3)), *quiet]) is not None


@pytest.mark.parametrize("outcome", [Outcome.HTTP_5XX, Outcome.TIMEOUT, Outcome.THROTTLED, None])
def test_what_a_receiver_answers_is_its_own(outcome: Outcome | None) -> None:
    """Only a broken network, name server or CA file of ours looks the same at all of them."""
    assert shared_outage(failing(number, outcome=outcome) for number in range(9)) is None


def test_the_most_frequent_way_to_fail_comes_first() -> None:
    """It says where to look."""
    mixed = [failing(number, outcome=Outcome.DNS) for number in range(3)] + [failing(9)]

    found = shared_outage(mixed)

    assert found
    assert found.outcomes == [Outcome.DNS, Outcome.CONNECT]
