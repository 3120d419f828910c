"""Callbacks that keep failing, are disabled, or come back: with real receivers, embedded and on
RabbitMQ + PostgreSQL.
"""

import signal
from collections import Counter
from typing import Any

from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, ids_at, message, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for


def callback(ringback: Ringback, token: dict[str, Any]) -> dict[str, Any]:
    """The callback as administrators see it."""
    shown: dict[str, Any] = ringback.admin.get(f"/v1/tokens/{token['id']}")["callbacks"][MESSAGE]
    return shown


def wait_until(ringback: Ringback, token: dict[str, Any], state: str, limit_s: float = 15) -> None:
    wait_for(
        f"the callback to be {state}", lambda: callback(ringback, token)["state"] == state, limit_s
    )


def test_a_dead_callback_is_left_alone_and_has_everything_in_order_when_it_is_back(
    start: Starting, receiver: Receiver
) -> None:
    """The whole story: it opens, stays open across a crash, is probed by one delivery at a time,
    closes at the first success, and the backlog drains.
    """
    ringback = start(RETRY_SCHEDULE="1h,1h")
    receiver.switch("x", 500)
    token = ringback.token("dead", callbacks={MESSAGE: receiver.url("/switch/x")})

    ids = [
        ringback.publisher.publish(message(n, conversation="" if n < 40 else "cnv_one"))
        for n in range(60)
    ]
    wait_until(ringback, token, "failing")
    wait_for(
        "everything to be a row",
        lambda: len(ringback.admin.get("/v1/deliveries?state=pending&limit=100")["data"]) == 60,
    )
    for name in ringback.dispatchers:
        ringback.stop(name, signal.SIGKILL)
    ringback.start(*ringback.dispatchers)
    tried = len(receiver.requests("/switch/x"))
    assert callback(ringback, token)["state"] == "failing"
    first_probe = receiver.wait_for("/switch/x", tried + 1)[-1]
    receiver.switch("x", 200)

    def came_after() -> list[str]:
        return [request.headers["webhook-id"] for request in receiver.requests("/switch/x")[tried:]]

    wait_for("the whole backlog", lambda: set(came_after()) == set(ids), limit_s=30)
    wait_until(ringback, token, "healthy")
    assert tried <= 60
    assert first_probe.headers["webhook-id"] == ids[0], "the oldest probes"
    after = came_after()
    assert [one for one in after if one in ids[40:]] == ids[40:]
    assert Counter(one for one in after if one != ids[0]) == dict.fromkeys(ids[1:], 1), (
        "only the probe came before it worked"
    )
    assert callback(ringback, token)["failing_since"] is None


def put(ringback: Ringback, token: dict[str, Any], url: str, **fields: object) -> None:
    """Change its callback; in force everywhere when this returns."""
    ringback.admin.send(
        "PUT", f"/v1/tokens/{token['id']}/callbacks/{MESSAGE}", {"url": url} | fields
    )
    ringback.wait_until_in_force()


def test_gone_disables_at_once_and_what_was_held_goes_out_when_it_is_enabled(
    start: Starting, receiver: Receiver
) -> None:
    """410: nothing is sent any more, and nothing vanishes."""
    ringback = start()
    receiver.switch("x", 410)
    token = ringback.token("gone", callbacks={MESSAGE: receiver.url("/switch/x")})

    first = ringback.publisher.publish(message(1))
    shown = wait_for_state(ringback.admin, first, "held")
    second = ringback.publisher.publish(message(2))
    wait_for_state(ringback.admin, second, "held")

    assert shown["reason"] == "callback disabled: its receiver answered 410 Gone"
    assert (callback(ringback, token)["state"], len(receiver.requests("/switch/x"))) == (
        "disabled",
        1,
    )
    receiver.switch("x", 200)
    put(ringback, token, receiver.url("/switch/x"), enabled=True)
    wait_for_all(receiver, "/switch/x", [first, second])
    assert wait_for_state(ringback.admin, first, "delivered")["reason"] is None
    assert callback(ringback, token)["state"] == "healthy"


def test_who_fails_without_interruption_is_disabled_in_the_end(
    start: Starting, receiver: Receiver
) -> None:
    """With fewer failures than would open its breaker, too."""
    ringback = start(DISABLE_AFTER="2s", RETRY_SCHEDULE="1s,1s,1s,1h")
    token = ringback.token("dead", callbacks={MESSAGE: receiver.url("/status/500/x")})

    event_id = ringback.publisher.publish(message(1))

    wait_until(ringback, token, "disabled")
    assert callback(ringback, token)["disabled_reason"] == "nothing succeeded for 2s"
    assert (
        wait_for_state(ringback.admin, event_id, "held")["reason"]
        == "callback disabled: nothing succeeded for 2s"
    )
    assert 2 <= len(receiver.requests("/status/500/x")) <= 4


def test_what_was_held_is_kept_or_discarded_as_its_administrator_says(
    start: Starting, receiver: Receiver
) -> None:
    """Release is the default; kept deliveries stay until an administrator releases them."""
    ringback = start()
    url = receiver.url("/ok/x")
    token = ringback.token("moves", callbacks={MESSAGE: url})
    put(ringback, token, url, enabled=False)
    kept = ringback.publisher.publish(message(1))
    wait_for_state(ringback.admin, kept, "held")

    put(ringback, token, url, enabled=True, held="keep")
    fresh = ringback.publisher.publish(message(2))
    wait_for_all(receiver, "/ok/x", [fresh])
    assert (
        wait_for_state(ringback.admin, kept, "held")["reason"]
        == "kept since the callback came back"
    )

    put(ringback, token, url, enabled=False)
    discarded = ringback.publisher.publish(message(3))
    wait_for_state(ringback.admin, discarded, "held")
    put(ringback, token, url, held="release")
    put(ringback, token, url, enabled=True, held="discard")
    assert wait_for_state(ringback.admin, discarded, "cancelled")["reason"] == "discarded"
    assert wait_for_state(ringback.admin, kept, "cancelled")["reason"] == "discarded"
    assert set(ids_at(receiver, "/ok/x")) == {fresh}


def test_a_token_that_is_resumed_releases_what_it_held(start: Starting, receiver: Receiver) -> None:
    """Suspending is for now."""
    ringback = start()
    token = ringback.token("pausing", callbacks={MESSAGE: receiver.url("/ok/x")})
    ringback.admin.send("PATCH", f"/v1/tokens/{token['id']}", {"enabled": False})
    ringback.wait_until_in_force()
    held = [ringback.publisher.publish(message(n)) for n in range(3)]
    assert {wait_for_state(ringback.admin, one, "held")["reason"] for one in held} == {
        "token suspended"
    }

    ringback.admin.send("PATCH", f"/v1/tokens/{token['id']}", {"enabled": True})

    wait_for_all(receiver, "/ok/x", held)


def test_what_waits_for_too_long_is_given_up(start: Starting, receiver: Receiver) -> None:
    """A failing callback's deliveries are bounded by their age: the schedule's total."""
    ringback = start(RETRY_SCHEDULE="4s")
    receiver.switch("x", 500)
    token = ringback.token("dead", callbacks={MESSAGE: receiver.url("/switch/x")})
    ids = [ringback.publisher.publish(message(n)) for n in range(15)]
    wait_until(ringback, token, "failing")
    late = ringback.publisher.publish(message("late"))

    assert (
        wait_for_state(ringback.admin, late, "exhausted", limit_s=15)["reason"]
        == "the callback kept failing for 4s"
    )
    for event_id in ids:
        wait_for_state(ringback.admin, event_id, "exhausted")
