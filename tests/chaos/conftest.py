"""The nodes of a scenario, which the whole suite's fixtures start, and what a test asks of one."""

from collections.abc import Callable

import pytest

from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import Nodes
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit

KeptBriefly = Callable[[str], None]


@pytest.fixture
def kept_briefly(rabbit: Rabbit, postgres: Postgres) -> KeptBriefly:
    """Plays the scenario of that name briefly, and fails with what was not kept and all that was
    counted.
    """

    def play(name: str) -> None:
        report = SCENARIOS[name].play(Nodes(rabbit, postgres), full=False)
        assert not report.broken, f"{'; '.join(report.broken)} ({report.line()})"

    return play
