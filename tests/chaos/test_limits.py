"""The short set, on what is allowed just so, and just not."""

import pytest

from tests.chaos.conftest import KeptBriefly

pytestmark = pytest.mark.timeout(300)


def test_a_message_of_any_size_ends_no_process(kept_briefly: KeptBriefly) -> None:
    """One that was taken, and too long to be read back,
    ended every dispatcher that met its copy.
    """
    kept_briefly("around-the-limit")
