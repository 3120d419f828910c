"""The short set, on databases that become another one under running processes."""

import pytest

from tests.chaos.conftest import KeptBriefly

pytestmark = pytest.mark.timeout(600)


def test_a_fail_over_that_cuts_no_session_needs_no_restart(kept_briefly: KeptBriefly) -> None:
    """Connections to the old primary live on, and it answers reads."""
    kept_briefly("fail-over")


def test_a_restore_under_running_processes_is_seen_by_all_of_them(
    kept_briefly: KeptBriefly,
) -> None:
    """What they remember never happened."""
    kept_briefly("restore")


def test_hundreds_of_tokens_that_change_together_outlive_a_restart(
    kept_briefly: KeptBriefly,
) -> None:
    """They are read in pages, and a page ends among them."""
    kept_briefly("crowd")
