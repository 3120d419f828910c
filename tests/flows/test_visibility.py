"""A channel is taken away from a token while deliveries of it are on their way; embedded and on
RabbitMQ + PostgreSQL.
"""

from typing import Any

from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, message, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

LONG_AGO = "2020-01-01T00:00:00Z"
UNSEEN = "the token may no longer see this channel"


def see_only(ringback: Ringback, token: dict[str, Any], *channels: str) -> None:
    """In force everywhere when this returns."""
    ringback.admin.send(
        "PATCH", f"/v1/tokens/{token['id']}", {"visibility": {"channels": list(channels)}}
    )
    ringback.wait_until_in_force()


def secrets_at(receiver: Receiver, path: str) -> int:
    """How many webhooks of the channel that was taken away came there."""
    return sum(b'"chn_secret"' in request.body for request in receiver.requests(path))


def test_nothing_of_a_channel_that_was_taken_away_is_sent_any_more(
    start: Starting, receiver: Receiver
) -> None:
    """Not by the schedule, not by hand, not by a recovery:
    pending, given up and held ones alike.
    """
    ringback = start(RETRY_SCHEDULE="1500ms")
    receiver.switch("x", 500)
    url = receiver.url("/switch/x")
    token = ringback.token("crm", callbacks={MESSAGE: url}, channels=("chn_1", "chn_secret"))
    address = f"/v1/tokens/{token['id']}/callbacks/{MESSAGE}"
    given_up = ringback.publisher.publish(message(1, channel="chn_secret"))
    exhausted = wait_for_state(ringback.admin, given_up, "exhausted")
    ringback.admin.send("PUT", address, {"url": url, "enabled": False})
    ringback.wait_until_in_force()
    held = ringback.publisher.publish(message(2, channel="chn_secret"))
    wait_for_state(ringback.admin, held, "held")
    ringback.admin.send("PUT", address, {"url": url, "enabled": True, "held": "keep"})
    ringback.wait_until_in_force()
    pending = ringback.publisher.publish(message(3, channel="chn_secret"))
    wait_for("its first attempt", lambda: secrets_at(receiver, "/switch/x") == 3)

    see_only(ringback, token, "chn_1")
    sent_before = secrets_at(receiver, "/switch/x")
    receiver.switch("x", 200)

    by_schedule = wait_for_state(ringback.admin, pending, "cancelled")
    by_hand = ringback.admin.call("POST", f"/v1/deliveries/{exhausted['id']}/retry")
    asked = ringback.admin.call(
        "POST", "/v1/recoveries", {"since": LONG_AGO, "states": ["exhausted", "held"]}
    ).data
    ended = wait_for("the recovery to be done", lambda: done(ringback, asked["id"]))
    ringback.admin.send("PUT", address, {"url": url, "enabled": True, "held": "release"})
    released = wait_for_state(ringback.admin, held, "cancelled")
    seen = ringback.publisher.publish(message(4, channel="chn_1"))
    wait_for_all(receiver, "/switch/x", [seen])

    assert by_schedule["reason"] == released["reason"] == UNSEEN
    assert (by_hand.status, by_hand.data["detail"]) == (
        409,
        f"{UNSEEN}: let it see chn_secret again before you send this",
    )
    assert (ended["done"], ended["skipped"]) == (0, 2)
    assert secrets_at(receiver, "/switch/x") == sent_before
    assert (
        wait_for_state(ringback.admin, given_up, "exhausted")["attempts"] == exhausted["attempts"]
    )


def done(ringback: Ringback, recovery_id: str) -> dict[str, Any] | None:
    found: dict[str, Any] = ringback.admin.get(f"/v1/recoveries/{recovery_id}")
    return None if found["state"] == "running" else found


def test_a_failing_callback_is_not_probed_with_what_it_may_no_longer_see(
    start: Starting, receiver: Receiver
) -> None:
    """What it may see does not wait behind that."""
    ringback = start(RETRY_SCHEDULE="1h,1h")
    receiver.switch("x", 500)
    token = ringback.token(
        "crm", callbacks={MESSAGE: receiver.url("/switch/x")}, channels=("chn_1", "chn_secret")
    )
    secret = [ringback.publisher.publish(message(n, channel="chn_secret")) for n in range(20)]
    wait_for("its breaker to open", lambda: state_of(ringback, token) == "failing")
    seen = ringback.publisher.publish(message("seen", channel="chn_1"))

    see_only(ringback, token, "chn_1")
    sent_before = secrets_at(receiver, "/switch/x")
    receiver.switch("x", 200)

    wait_for_all(receiver, "/switch/x", [seen])
    for event_id in secret:
        assert wait_for_state(ringback.admin, event_id, "cancelled")["reason"] == UNSEEN
    assert secrets_at(receiver, "/switch/x") == sent_before


def state_of(ringback: Ringback, token: dict[str, Any]) -> str:
    state: str = ringback.admin.get(f"/v1/tokens/{token['id']}")["callbacks"][MESSAGE]["state"]
    return state
