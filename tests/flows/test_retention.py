"""What is older than the retention is removed automatically, on real processes; what is still to be
done is kept.
"""

from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, ids_at, message, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for


def test_what_is_old_goes_and_what_is_pending_stays(start: Starting, receiver: Receiver) -> None:
    """With its deliveries; its id is then that of a new event. Two dispatchers share the work."""
    ringback = start(dispatchers=2, RETRY_SCHEDULE="1s", RETENTION="3s")
    ringback.token("done", callbacks={MESSAGE: receiver.url("/ok/done")}, channels=("chn_done",))
    ringback.token(
        "later", callbacks={MESSAGE: receiver.url("/after/3600/later")}, channels=("chn_later",)
    )
    pending = ringback.publisher.publish(message("later", channel="chn_later"))
    wait_for_state(ringback.admin, pending, "pending")
    receiver.wait_for("/after/3600/later", 1)
    done = ringback.publisher.publish(message("done", channel="chn_done"))
    delivery = wait_for_state(ringback.admin, done, "delivered")

    wait_for(
        "the old one to be gone", lambda: ringback.admin.find(f"/v1/events/{done}") is None, 20
    )

    assert ringback.admin.find(f"/v1/deliveries/{delivery['id']}") is None
    assert ringback.admin.get(f"/v1/events/{pending}")["deliveries"][0]["state"] == "pending"
    wait_for("it to be counted once", lambda: sum(expired(ringback)) == 1)
    assert ringback.metrics(ringback.dispatchers[0])["ringback_events_oldest_seconds"] > 3
    assert ringback.publisher.publish(message("done", channel="chn_done", id=done)) == done
    wait_for("it to come once more", lambda: ids_at(receiver, "/ok/done")[done] == 2)


def expired(ringback: Ringback) -> list[float]:
    """How many events each dispatcher has deleted."""
    return [
        ringback.metrics(name)['ringback_rows_expired_total{table="events"}']
        for name in ringback.dispatchers
    ]
