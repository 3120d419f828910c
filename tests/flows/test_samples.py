"""Tests of callbacks, through real processes: they are sent, and no figure of deliveries counts
them.
"""

from schemas.events.samples import sample_event
from schemas.events.types import EventType
from tests.flows.conftest import Starting
from tests.kit.receiver import Receiver
from tests.kit.waiting import wait_for

KIND = EventType.MESSAGE_RECEIVED


def figures(page: bytes) -> dict[str, float]:
    """The samples of a page of metrics that count deliveries."""
    lines = [
        line.rpartition(" ") for line in page.decode().splitlines() if f'type="{KIND}"' in line
    ]
    wanted = (
        "ringback_deliveries_settled_total",
        "ringback_end_to_end_seconds_count",
        "ringback_first_attempt_delay_seconds_count",
    )
    return {
        name: float(value) for name, _, value in lines if name.startswith(wanted) and float(value)
    }


def test_a_test_is_no_delivery_in_the_figures(start_embedded: Starting) -> None:
    """An alert on exhausted deliveries must not go off because a callback was tried out; the
    attempt itself is counted as a test.
    """
    ringback = start_embedded()
    with Receiver() as receiver:
        token = ringback.token("crm", callbacks={KIND: receiver.url("/ok/crm")})
        broken = ringback.token(
            "broken", callbacks={KIND: receiver.url("/status/500/broken")}, channels=()
        )
        for one in (token, broken):
            ringback.admin.send("POST", f"/v1/tokens/{one['id']}/callbacks/{KIND}/test")
        ringback.publisher.publish(sample_event(KIND))

        def counted() -> dict[str, float]:
            return figures(ringback.admin.call("GET", "/metrics").data)

        wait_for("the real one", lambda: len(counted()) == 3)
        assert set(counted().values()) == {1.0}
        assert (
            b'trigger="test",type="message.received"} 1.0'
            in ringback.admin.call("GET", "/metrics").data
        )
