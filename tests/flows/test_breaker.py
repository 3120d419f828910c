"""Callbacks that keep failing, are disabled, or come back: with real receivers, embedded and on RabbitMQ + PostgreSQL."""

from collections import Counter
from typing import Any

from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, ids_at, message, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for


def callback(ringback: Ringback, token: dict[str, Any]) -> dict[str, Any]:
    """As administrators see it."""
    shown: dict[str, Any] = ringback.admin.get(f"/v1/tokens/{token['id']}")["callbacks"][MESSAGE]
    return shown


def wait_until(ringback: Ringback, token: dict[str, Any], state: str, limit_s: float = 15) -> None:
    wait_for(f"the callback to be {state}", lambda: callback(ringback, token)["state"] == state, limit_s)


def test_a_dead_callback_is_left_alone_and_has_everything_in_order_when_it_is_back(start: Starting, receiver: Receiver) -> None:
    """The whole story: it opens, is probed by one delivery at a time, closes at the first success, and the backlog drains."""
    ringback = start(RETRY_SCHEDULE="1h,1h")
    receiver.switch("x", 500)
    token = ringback.token("dead", callbacks={MESSAGE: receiver.url("/switch/x")})

    ids = [ringback.publisher.publish(message(n, conversation="" if n < 40 else "cnv_one")) for n in range(60)]
    wait_until(ringback, token, "failing")
    wait_for("everything to be a row", lambda: len(ringback.admin.get("/v1/deliveries?state=pending&limit=100")["data"]) == 60)
    tried = len(receiver.requests("/switch/x"))
    first_probe = receiver.wait_for("/switch/x", tried + 1)[-1]
    receiver.switch("x", 200)

    wait_for_all(receiver, "/switch/x", ids, limit_s=30)
    wait_until(ringback, token, "healthy")
    assert tried <= 60
    assert first_probe.headers["webhook-id"] == ids[0], "the oldest probes"
    succeeded = [r.headers["webhook-id"] for r in receiver.requests("/switch/x")[tried + 1 :]]
    assert [one for one in succeeded if one in ids[40:]] == ids[40:]
    assert Counter(succeeded) == dict.fromkeys(ids, 1)
    assert callback(ringback, token)["failing_since"] is None
