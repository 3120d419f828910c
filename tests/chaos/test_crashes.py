"""The short set, on processes that end, or stop being there."""

import pytest

from tests.chaos.conftest import KeptBriefly

pytestmark = pytest.mark.timeout(300)


def test_whatever_is_killed_and_whenever_nothing_accepted_is_missing(
    kept_briefly: KeptBriefly,
) -> None:
    """Twenty times `kill -9`, over every kind of process."""
    kept_briefly("kills")


def test_restarts_of_a_dispatcher_repeat_nothing(kept_briefly: KeptBriefly) -> None:
    """An update is an ordinary day: the webhooks do not show it."""
    kept_briefly("stops")


def test_a_second_signal_corrupts_nothing(kept_briefly: KeptBriefly) -> None:
    """Who is impatient sends another, and Ctrl-C."""
    kept_briefly("impatient-stops")


def test_a_dispatcher_that_was_frozen_past_its_leases_spoils_nothing(
    kept_briefly: KeptBriefly,
) -> None:
    """A virtual machine that is moved; what it comes back with is no longer its own."""
    kept_briefly("frozen")


def test_an_event_that_crashes_its_handler_does_not_stop_the_others(
    kept_briefly: KeptBriefly,
) -> None:
    """It would crash each process that takes it up, for ever."""
    kept_briefly("poison")


def test_the_charts_count_each_attempt_once(kept_briefly: KeptBriefly) -> None:
    """Also those of a dispatcher that was killed."""
    kept_briefly("figures")
