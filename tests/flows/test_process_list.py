"""What every user of the machine may read of our processes: their command lines. Real ones, with
everything that is secret set.
"""

import psutil

from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.ringback import _SECRET_KEY, Ringback


def test_no_secret_stands_in_a_process_list(rabbit: Rabbit, postgres: Postgres) -> None:
    """Neither of the API and its workers nor of a dispatcher: secrets come by the environment,
    which only their owner may read.
    """
    ringback = Ringback(
        rabbit.url,
        postgres.fresh_database(),
        ALERT_URL="https://x.example/",
        ALERT_SECRET=ALERT_SECRET,
    )
    try:
        called = [
            " ".join(one.cmdline())
            for process in ringback.processes.values()
            for one in _family(process.pid)
        ]

        assert len(called) > 2, "the API has workers"
        assert not [line for line in called if _SECRET_KEY in line or ALERT_SECRET in line]
        assert not [line for line in called if "://" in line], (
            "the addresses of database and broker hold their passwords"
        )
    finally:
        ringback.close()


ALERT_SECRET = "whsec_" + "c2VjcmV0" * 5


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
