"""A callback that cannot keep up: what it cannot take waits as rows, in order, and holds up no
other callback.
"""

import json
from collections import defaultdict

from tests.flows.conftest import Starting
from tests.kit.client import Client
from tests.kit.platform import MESSAGE, message, wait_for_all
from tests.kit.receiver import Receiver

SLOW, QUICK = "/slow/200/crm", "/ok/crm"
CONVERSATIONS = 3


def test_what_a_slow_callback_cannot_take_comes_later_in_order_and_once(
    start: Starting, receiver: Receiver
) -> None:
    """Five a second is what it takes: the rest times out and spills. A restart in the midst
    changes nothing: what is published after it waits behind what was left before it.
    """
    ringback = start(CALLBACK_CONCURRENCY="1")
    ringback.token("slow", callbacks={MESSAGE: receiver.url(SLOW)})
    ringback.token("quick", callbacks={MESSAGE: receiver.url(QUICK)})

    before = publish(ringback.publisher, range(15))
    receiver.wait_for(SLOW, 3)
    ringback.stop(ringback.dispatchers[0])
    ringback.start(ringback.dispatchers[0])
    ids = before + publish(ringback.publisher, range(15, 30))

    for path in (QUICK, SLOW):
        assert set(wait_for_all(receiver, path, ids).values()) == {1}
        came = by_conversation(receiver, path)
        assert came == {
            f"cnv_{n}": [f"msg_{m}" for m in range(n, 30, CONVERSATIONS)]
            for n in range(CONVERSATIONS)
        }, path


def publish(client: Client, numbers: range) -> list[str]:
    """One after the other; the conversations take turns."""
    return [client.publish(message(number, f"cnv_{number % CONVERSATIONS}")) for number in numbers]


def by_conversation(receiver: Receiver, path: str) -> dict[str, list[str]]:
    """The messages of each, in the order they came."""
    found: dict[str, list[str]] = defaultdict(list)
    for request in receiver.requests(path):
        data = json.loads(request.body)["data"]["message"]
        found[data["conversation_id"]].append(data["id"])
    return found
