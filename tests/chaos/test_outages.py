"""The short set, on services that are away, silent or unwell. Those that refuse connections are in
tests/flows.
"""

import pytest

from tests.chaos.conftest import KeptBriefly

pytestmark = pytest.mark.timeout(300)


def test_a_silent_broker_is_not_noticed_by_backends(kept_briefly: KeptBriefly) -> None:
    """Only what it does not confirm tells: the connection stays open."""
    kept_briefly("broker-silent")


def test_a_silent_database_is_not_noticed_by_backends(kept_briefly: KeptBriefly) -> None:
    """Only a limit on each call tells."""
    kept_briefly("database-silent")


def test_with_both_silent_every_answer_still_comes_at_once(kept_briefly: KeptBriefly) -> None:
    """Requests that wait for a dead service would keep every thread, and those of the next minute
    too.
    """
    kept_briefly("both-silent")


def test_connections_that_are_cut_again_and_again_cost_no_event(
    kept_briefly: KeptBriefly,
) -> None:
    """Each end is noticed at the next use of the connection."""
    kept_briefly("cuts")


def test_waiting_for_services_takes_no_processor(kept_briefly: KeptBriefly) -> None:
    """Busy loops of all processes would slow down the restart of the database."""
    kept_briefly("waiting")


def test_names_that_cannot_be_found_delay_only_their_own_callbacks(
    kept_briefly: KeptBriefly,
) -> None:
    """A name service that hangs, hangs for every name."""
    kept_briefly("names-away")


def test_confirms_that_come_late_cost_no_duplicates(kept_briefly: KeptBriefly) -> None:
    """What was stored twice, in the broker and in the outbox, is one event."""
    kept_briefly("late-confirms")


def test_a_memory_alarm_loses_neither_events_nor_dead_letters(kept_briefly: KeptBriefly) -> None:
    """The broker reads nothing from publishers then."""
    kept_briefly("memory-alarm")


def test_a_queue_that_is_deleted_is_made_again_before_anything_is_published(
    kept_briefly: KeptBriefly,
) -> None:
    """An exchange without a queue confirms what it throws away."""
    kept_briefly("queue-deleted")
