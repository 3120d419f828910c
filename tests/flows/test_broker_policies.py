"""A policy for all queues of the broker: nothing that was answered 202 is lost, and every process
says why events go another way.
"""

import itertools
import json
import signal
import subprocess
from collections.abc import Iterable

import pytest

from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, ids_at, message
from tests.kit.rabbit import Rabbit
from tests.kit.receiver import Receiver
from tests.kit.ringback import PROGRAM, Ringback
from tests.kit.waiting import wait_for

COUNT = 300


@pytest.mark.parametrize(
    ("policy", "word"),
    [({"max_length": 50}, "max-length"), ({"message_ttl": 1000}, "message-ttl")],
    ids=["max-length", "message-ttl"],
)
def test_behind_a_policy_for_all_queues_everything_accepted_is_delivered(
    start_on_services: Starting,
    rabbit: Rabbit,
    receiver: Receiver,
    policy: dict[str, int],
    word: str,
) -> None:
    """While the dispatchers are away, the only one killed: the queue fills, and what is in it gets
    old. On a busy machine some may be answered 503, which is no promise.
    """
    ringback = start_on_services()
    ringback.token("crm", callbacks={MESSAGE: receiver.url("/ok/crm")})
    ringback.stop("dispatch-0", signal.SIGKILL)
    with rabbit.policy(**policy):
        accepted = set(_published(ringback, range(COUNT)))
        more = itertools.count(COUNT)

        def says_why() -> bool:
            """A slow broker is gone around for a while, so the first may all be in the outbox:
            backends go on publishing.
            """
            accepted.update(_published(ringback, [next(more)]))
            return word in ringback.ready("api").get("broker", "")

        wait_for("readiness to say why", says_why, 60)
        found = doctor_on_the_broker(ringback)
        ringback.spawn("dispatch-0")
        wait_for("all to arrive", lambda: accepted <= set(ids_at(receiver, "/ok/crm")), 60)

    assert len(accepted) > COUNT // 2
    assert word in found


def test_migrate_and_doctor_name_a_policy_that_loses_events(
    start_on_services: Starting, rabbit: Rabbit
) -> None:
    """The error says what to do about it, in one line."""
    ringback = start_on_services(dispatchers=0)
    with rabbit.policy(max_length=1000, overflow="drop-head"):
        refused = ringback.run("migrate", status=1)
        found = doctor_on_the_broker(ringback)

    for text in (refused, found):
        assert "drop-head" in text
        assert "rabbitmqctl set_policy" in text
    assert refused.count("\n") == 1


def _published(ringback: Ringback, numbers: Iterable[int]) -> list[str]:
    """The ids that were accepted; what was not was answered 503."""
    published = ringback.publisher.publish_many([message(number) for number in numbers])
    assert published.statuses.keys() <= {202, 503}
    return published.ids


def doctor_on_the_broker(ringback: Ringback) -> str:
    done = subprocess.run(
        [PROGRAM, "doctor", "--json"],
        env=ringback.env,
        cwd=ringback.dir,
        capture_output=True,
        timeout=60,
        check=False,
    )
    text: str = next(
        check["detail"] for check in json.loads(done.stdout)["checks"] if check["what"] == "broker"
    )
    return text
