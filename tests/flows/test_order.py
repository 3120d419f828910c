"""What a callback sees, in which order: conversations within one dispatcher, statuses across all of
them.
"""

import itertools
import json
from collections import defaultdict

from tests.flows.conftest import Starting
from tests.kit.client import Client
from tests.kit.platform import MESSAGE, deliveries_of, ids_at, message, status, wait_for_all
from tests.kit.receiver import Receiver
from tests.kit.statuses import ORDER
from tests.kit.waiting import wait_for

STATUS = "message.status"


def ranks_at(receiver: Receiver, path: str) -> dict[str, list[int]]:
    """By message: the ranks of its statuses, as they came."""
    seen = defaultdict(list)
    for request in receiver.requests(path):
        data = json.loads(request.body)["data"]
        seen[data["message"]["id"]].append(ORDER.index(data["status"]))
    return seen


def wait_until_settled(admin: Client, ids: list[str], limit_s: float = 60) -> list[str]:
    """The states of these events' only deliveries, once none is pending."""
    states: dict[str, str] = {}

    def settled() -> bool:
        for event_id in ids:
            if states.get(event_id, "pending") == "pending":
                states[event_id] = next(
                    (one["state"] for one in deliveries_of(admin, event_id)), "pending"
                )
        return "pending" not in states.values()

    wait_for(f"{len(ids)} deliveries to be settled", settled, limit_s)
    return [states[event_id] for event_id in ids]


def test_events_of_one_conversation_arrive_in_the_order_they_were_accepted(
    start: Starting, receiver: Receiver
) -> None:
    """Within one dispatcher, while nothing fails, whatever other conversations do meanwhile. What
    makes it certain, one at a time, is proved in tests/unit/test_lanes.py: on a quiet machine they
    would arrive in order without it.
    """
    ringback = start()
    ringback.token("crm", callbacks={MESSAGE: receiver.url("/slow/5/crm")})
    batch = [
        message(f"{n}-{c}", conversation=f"cnv_{c}", id=f"evt_{n}_{c}")
        for n in range(20)
        for c in range(5)
    ]

    ringback.publisher.send("POST", "/v1/events/batch", {"events": batch})

    came = wait_for_all(receiver, "/slow/5/crm", [event["id"] for event in batch])
    assert set(came.values()) == {1}
    ids = [request.headers["webhook-id"] for request in receiver.requests("/slow/5/crm")]
    for conversation in range(5):
        assert [one for one in ids if one.endswith(f"_{conversation}")] == [
            f"evt_{n}_{conversation}" for n in range(20)
        ]


def test_statuses_that_come_together_arrive_in_their_order_and_all_of_them(
    start: Starting, receiver: Receiver
) -> None:
    """Two dispatchers, every message's statuses at once and backwards: nothing is lost, nothing
    comes before a lower one.
    """
    ringback = start(dispatchers=2)
    ringback.token("crm", callbacks={STATUS: receiver.url("/ok/crm")})
    names = ("queued", "sent", "delivered", "read")
    batch = [
        status(name, f"msg_{m}", id=f"evt_{m}_{name}")
        for m, name in itertools.product(range(10), reversed(names))
    ]

    ringback.publisher.send("POST", "/v1/events/batch", {"events": batch})

    states = wait_until_settled(ringback.admin, [event["id"] for event in batch])
    assert set(states) <= {"delivered", "superseded"}
    for ranks in ranks_at(receiver, "/ok/crm").values():
        assert ranks == sorted(ranks)
        assert ranks[-1] == ORDER.index("read")


def test_a_status_never_follows_a_higher_one_though_attempts_fail(
    start: Starting, receiver: Receiver
) -> None:
    """What failed first is retried only if nothing higher was sent meanwhile; else it is
    superseded, and says so.
    """
    ringback = start(dispatchers=2, RETRY_SCHEDULE="1s,1s,1s")
    ringback.token("flaky", callbacks={STATUS: receiver.url("/fail/1/x")})

    low = ringback.publisher.publish(status("sent", "msg_1"))
    receiver.wait_for("/fail/1/x", 1)
    high = ringback.publisher.publish(status("read", "msg_1"))

    assert wait_until_settled(ringback.admin, [low, high]) == ["superseded", "delivered"]
    (ranks,) = ranks_at(receiver, "/fail/1/x").values()
    assert ranks == sorted(ranks)
    assert ids_at(receiver, "/fail/1/x")[high] == 2
    refused = ringback.admin.call(
        "POST", f"/v1/deliveries/{deliveries_of(ringback.admin, low)[0]['id']}/retry"
    )
    assert refused.status == 409
