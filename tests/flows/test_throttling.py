"""Receivers that say that they take no more at present: with real ones, embedded and on RabbitMQ +
PostgreSQL.
"""

import signal
from typing import Any

from schemas.times import from_rfc3339, now_ms
from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, message, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

HOUR_MS = 3_600_000


def shown(ringback: Ringback, token: dict[str, Any]) -> dict[str, Any]:
    """The callback, as administrators see it."""
    found: dict[str, Any] = ringback.admin.get(f"/v1/tokens/{token['id']}")["callbacks"][MESSAGE]
    return found


def test_a_receiver_that_asks_for_an_hour_gets_it_from_every_dispatcher(
    start: Starting, receiver: Receiver
) -> None:
    """Across a crash, too; what a person asks for goes meanwhile. Who gives the callback another
    URL need not wait for the rest of it.
    """
    ringback = start(dispatchers=2, RETRY_SCHEDULE="1s")
    receiver.switch("x", 429)
    token = ringback.token("busy", callbacks={MESSAGE: receiver.url("/busy/x/3600")})
    ids = [ringback.publisher.publish(message(n)) for n in range(12)]
    wait_for("the callback to be left alone", lambda: shown(ringback, token)["throttled_until"])
    wait_for(
        "everything to be a row",
        lambda: len(ringback.admin.get("/v1/deliveries?state=pending&limit=100")["data"]) == 12,
    )
    for name in ringback.dispatchers:
        ringback.stop(name, signal.SIGKILL)
    refused = len(receiver.requests())
    receiver.switch("x", 200)
    ringback.start(*ringback.dispatchers)

    waiting = wait_for_state(ringback.admin, ids[11], "pending")
    ringback.admin.send("POST", f"/v1/deliveries/{waiting['id']}/retry", {})
    wait_for_state(ringback.admin, ids[11], "delivered")

    assert [one.headers["webhook-id"] for one in receiver.requests()[refused:]] == [ids[11]], (
        "the other eleven wait"
    )
    assert waiting["reason"] == f"its receiver asked to wait until {waiting['next_attempt_at']}"
    assert 0 < from_rfc3339(waiting["next_attempt_at"]) - now_ms() <= HOUR_MS
    assert (shown(ringback, token)["state"], shown(ringback, token)["failing_since"]) == (
        "healthy",
        None,
    )
    ringback.admin.send(
        "PUT", f"/v1/tokens/{token['id']}/callbacks/{MESSAGE}", {"url": receiver.url("/ok/other")}
    )
    wait_for_all(receiver, "/ok/other", ids[:11])
    settled = [wait_for_state(ringback.admin, event_id, "delivered") for event_id in ids[:11]]
    assert shown(ringback, token)["throttled_until"] is None
    retried = next(one for one in settled if len(one["attempts"]) > 1)
    assert [(one["outcome"], one["trigger"]) for one in retried["attempts"]] == [
        ("throttled", "first"),
        ("delivered", "retry"),
    ]


def test_a_receiver_that_refuses_without_a_word_gets_all_of_it_in_order_in_the_end(
    start: Starting, receiver: Receiver
) -> None:
    """A bare 429 is all that many proxies say. More refusals than the schedule has attempts, and
    none of them counts.
    """
    ringback = start(RETRY_SCHEDULE="1s")
    receiver.switch("x", 429)
    ringback.token("busy", callbacks={MESSAGE: receiver.url("/switch/x")})
    ids = [ringback.publisher.publish(message(n, conversation="cnv_one")) for n in range(5)]
    refused = len(receiver.wait_for("/switch/x", 3, limit_s=30))

    receiver.switch("x", 200)

    for event_id in ids:
        assert wait_for_state(ringback.admin, event_id, "delivered", 60)["reason"] is None
    last = {
        one.headers["webhook-id"]: number
        for number, one in enumerate(receiver.requests("/switch/x"))
    }
    assert sorted(ids, key=lambda event_id: last[event_id]) == ids, (
        "the last of each, which was taken"
    )
    assert len(receiver.requests("/switch/x")) >= refused + 5
