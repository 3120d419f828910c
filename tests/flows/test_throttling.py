"""Receivers that say that they take no more at present: with real ones, embedded and on RabbitMQ + PostgreSQL with two dispatchers."""

import signal
from typing import Any

from schemas.times import from_rfc3339
from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, ids_at, message, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.waiting import wait_for

PATH = "/busy/x/15"


def test_a_receiver_that_asks_for_a_pause_gets_it_from_everybody_and_then_everything_in_order(start: Starting, receiver: Receiver) -> None:
    """Across a crash, too; what a person asks for goes meanwhile. The one retry that there is would be used up by then, and is not."""
    ringback = start(dispatchers=2, RETRY_SCHEDULE="1s")
    receiver.switch("x", 429)
    token = ringback.token("busy", callbacks={MESSAGE: receiver.url(PATH)})

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = ringback.admin.get(f"/v1/tokens/{token['id']}")["callbacks"][MESSAGE]
        return found

    ids = [ringback.publisher.publish(message(n, conversation="cnv_one" if n < 6 else "")) for n in range(12)]
    wait_for("the callback to be left alone", lambda: shown()["throttled_until"])
    wait_for("everything to be a row", lambda: len(ringback.admin.get("/v1/deliveries?state=pending&limit=100")["data"]) == 12)
    until_s = from_rfc3339(shown()["throttled_until"]) / 1000
    for name in ringback.dispatchers:
        ringback.stop(name, signal.SIGKILL)
    before = len(receiver.requests(PATH))
    receiver.switch("x", 200)
    ringback.start(*ringback.dispatchers)
    waiting = wait_for_state(ringback.admin, ids[11], "pending")
    ringback.admin.send("POST", f"/v1/deliveries/{waiting['id']}/retry", {})
    by_hand = receiver.wait_for(PATH, before + 1)[before]

    came = wait_for_all(receiver, PATH, ids, 40)

    assert (by_hand.headers["webhook-id"], by_hand.at_s < until_s) == (ids[11], True)
    after = [one for one in receiver.requests(PATH)[before:] if one is not by_hand]
    assert min(one.at_s for one in after) >= until_s - 0.1, "nothing automatic before the time that was asked for"
    if len(ringback.dispatchers) == 1:  # within one dispatcher, as promised
        assert [one.headers["webhook-id"] for one in after if one.headers["webhook-id"] in ids[:6]] == ids[:6]
    assert sum(came.values()) == before + 12, "each was taken once"
    settled = [wait_for_state(ringback.admin, event_id, "delivered") for event_id in ids]
    assert (waiting["next_attempt_at"], waiting["reason"]) == (
        until := waiting["next_attempt_at"],
        f"its receiver asked to wait until {until}",
    )
    assert abs(from_rfc3339(until) / 1000 - until_s) < 1
    assert [(one["outcome"], one["trigger"]) for one in settled[0]["attempts"]] == [("throttled", "first"), ("delivered", "retry")]
    assert (shown()["state"], shown()["failing_since"]) == ("healthy", None)


def test_a_receiver_that_refuses_without_a_word_gets_all_of_it_in_the_end(start_embedded: Starting, receiver: Receiver) -> None:
    """A bare 429 is all that many proxies say."""
    ringback = start_embedded(RETRY_SCHEDULE="1s")
    receiver.switch("x", 429)
    ringback.token("busy", callbacks={MESSAGE: receiver.url("/switch/x")})
    event_id = ringback.publisher.publish(message(1))
    receiver.wait_for("/switch/x", 4)

    receiver.switch("x", 200)

    assert wait_for_state(ringback.admin, event_id, "delivered", 20)["reason"] is None
    assert ids_at(receiver, "/switch/x").keys() == {event_id}
