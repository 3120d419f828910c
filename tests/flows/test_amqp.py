"""Events that backends put onto the exchange themselves, what becomes of those that are none, and
what `/metrics` says of it all.

One Ringback for all of it, on RabbitMQ + PostgreSQL, with two API workers. Each test has a channel
of its own.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pika
import pytest

from tests.kit.client import Client
from tests.kit.platform import MESSAGE, ids_at, message, wait_for_all, wait_for_state
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

_numbers = itertools.count(1)
TOO_LARGE = 300 * 1024


@pytest.fixture(scope="module")
def ringback(rabbit_for_all: Rabbit, postgres_node: Postgres) -> Iterator[Ringback]:
    made = Ringback(rabbit_for_all.url, postgres_node.fresh_database(), workers=2)
    yield made
    made.close()


@pytest.fixture
def channel_id(ringback: Ringback, receiver: Receiver) -> str:
    """A channel of this test's own, whose messages go to /ok/crm."""
    made = f"chn_{next(_numbers)}"
    ringback.token("crm", callbacks={MESSAGE: receiver.url("/ok/crm")}, channels=(made,))
    return made


@pytest.fixture
def backend(rabbit_for_all: Rabbit) -> Iterator["Backend"]:
    with pika.BlockingConnection(pika.URLParameters(rabbit_for_all.url)) as connection:
        yield Backend(connection.channel())


class Backend:
    """A backend that publishes persistent messages with confirms, as docs/backends.md asks for."""

    def __init__(self, channel: Any):
        self._channel = channel
        channel.confirm_delivery()

    def publish(
        self, body: object, message_id: str | bytes | None = None, routing_key: str = MESSAGE
    ) -> None:
        """Bytes are sent as they are, all else as the JSON that `Client` would send."""
        sent = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        properties = pika.BasicProperties(delivery_mode=2, message_id=message_id)
        self._channel.basic_publish(
            "ringback.events", routing_key, sent, properties, mandatory=True
        )

    def dead_letters(self, count: int) -> dict[bytes, str]:
        """Reasons by body, once there are so many; they are gone from the queue then."""
        found: dict[bytes, str] = {}

        def all_of_them() -> bool:
            while (got := self._channel.basic_get("ringback.dead", auto_ack=True))[0]:
                found[got[2]] = got[1].headers["x-ringback-reason"]
            return len(found) >= count

        wait_for(f"{count} dead letters", all_of_them)
        return found


def test_an_event_from_the_exchange_is_like_any_other(
    ringback: Ringback, receiver: Receiver, backend: Backend, channel_id: str
) -> None:
    """Its id is in the JSON or in a property, and the JSON's type wins over the routing key. It is
    known to have come directly.
    """
    backend.publish(message(1, channel=channel_id, id="evt_json"), routing_key="whatever.it.is")
    backend.publish(message(2, channel=channel_id), message_id="evt_property")
    backend.publish(message(3, channel=channel_id, id="evt_both"), message_id="another")
    by_http = ringback.publisher.publish(message(4, channel=channel_id))

    wanted = ["evt_json", "evt_property", "evt_both", by_http]
    assert wait_for_all(receiver, "/ok/crm", wanted) == dict.fromkeys(wanted, 1)
    assert [shown_as_directly(ringback, event_id) for event_id in wanted] == [
        True,
        True,
        True,
        False,
    ]


def test_an_id_is_one_event_by_whatever_way_it_comes(
    ringback: Ringback, receiver: Receiver, backend: Backend, channel_id: str
) -> None:
    """A backend that is unsure about its POST may put it onto the exchange."""
    event = message(1, channel=channel_id, id="evt_unsure")

    ringback.publisher.publish(event)
    for _ in range(3):
        backend.publish(event)
    backend.publish(message(2, channel=channel_id, id="evt_after"))

    wait_for_all(receiver, "/ok/crm", ["evt_unsure", "evt_after"])
    wait_for_state(ringback.admin, "evt_unsure", "delivered")
    duplicates = f'ringback_events_duplicate_total{{type="{MESSAGE}"}}'
    wait_for("the copies to be counted", lambda: ringback.metrics("dispatch-0")[duplicates] >= 3)
    assert ids_at(receiver, "/ok/crm") == {"evt_unsure": 1, "evt_after": 1}


def test_what_is_no_event_is_a_dead_letter_and_disturbs_no_other(
    ringback: Ringback, receiver: Receiver, backend: Backend, channel_id: str
) -> None:
    """Each bad one stands between good ones, and is kept as it came, together with the reason."""
    good = message(channel=channel_id)
    bad: list[tuple[bytes, str | bytes | None, str]] = [
        (b"{", None, "malformed at line 1, column 2"),
        (b"", None, "malformed at line 1, column 1"),
        (b"\xff\xfe", None, "not UTF-8"),
        (
            json.dumps(good | {"id": "evt_type", "type": "message.read"}).encode(),
            None,
            "the type is one of",
        ),
        (json.dumps(good | {"number": 1}).encode(), None, "an id is required"),
        (json.dumps(good | {"number": 2}).encode(), b"\xff\xfe", "an id is required"),
        (json.dumps(good | {"number": 3}).encode(), "an id", "an id is 1 to 64"),
        (json.dumps({"id": "evt_data", "type": MESSAGE, "data": {}}).encode(), None, "/data"),
        (
            json.dumps(good | {"id": "evt_large"}).encode().ljust(TOO_LARGE),
            None,
            "at most 262144 bytes",
        ),
        (
            json.dumps(good | {"id": "evt_twice"})
            .encode()
            .replace(b'"channel":', b'"channel": {"id": "c", "kind": ""}, "channel":'),
            None,
            "occurs twice",
        ),
        (
            b'{"id":"evt_deep","type":"message.received","data":'
            + b"[" * 100_000
            + b"]" * 100_000
            + b"}",
            None,
            "nested too deeply",
        ),
    ]

    for number, (body, message_id, _) in enumerate(bad):
        backend.publish(body, message_id)
        backend.publish(
            message(number, channel=channel_id, id=f"evt_between_{number}"), message_id=b"\xff\xfe"
        )

    between = [f"evt_between_{number}" for number in range(len(bad))]
    assert wait_for_all(receiver, "/ok/crm", between) == dict.fromkeys(between, 1)
    reasons = backend.dead_letters(len(bad))
    assert reasons.keys() == {body for body, _, _ in bad}
    for body, _, reason in bad:
        assert reason in reasons[body]


def test_metrics_tell_what_all_workers_did(
    ringback: Ringback, receiver: Receiver, channel_id: str
) -> None:
    """Whichever worker is asked: a scraper cannot choose.
    What a dispatcher did, it tells itself.
    """
    api, dispatcher = ringback.metrics("api"), ringback.metrics("dispatch-0")

    ids = ringback.publisher.publish_many([message(n, channel=channel_id) for n in range(64)]).ids
    assert (
        ringback.publisher.call("POST", "/v1/events", {"type": "message.read", "data": {}}).status
        == 422
    )
    with Client(ringback.port, "rbk_wrong") as stranger:
        assert stranger.call("GET", "/v1/me").status == 401

    wait_for_all(receiver, "/ok/crm", ids)
    wait_for(
        "the API to have counted",
        lambda: rise(api, ringback.metrics("api"), BY_THE_API) == BY_THE_API,
    )
    for _ in range(8):  # each on a connection of its own, so that both workers answer
        assert rise(api, ringback.metrics("api"), BY_THE_API) == BY_THE_API
    wait_for(
        "all to be counted",
        lambda: (
            rise(dispatcher, ringback.metrics("dispatch-0"), BY_A_DISPATCHER) == BY_A_DISPATCHER
        ),
    )
    for name in ("api", "dispatch-0"):
        wait_for(
            f"the gauges of {name}",
            lambda name=name: QUIET.items() <= ringback.metrics(name).items(),
        )


BY_THE_API = {
    f'ringback_events_accepted_total{{type="{MESSAGE}"}}': 64,
    'ringback_events_rejected_total{reason="invalid"}': 1,
    'ringback_http_requests_total{method="POST",route="/v1/events",status="202"}': 64,
    'ringback_http_request_duration_seconds_count{route="/v1/events"}': 65,
    'ringback_token_auth_failures_total{reason="unknown"}': 1,
}
BY_A_DISPATCHER = {
    f'ringback_attempts_total{{outcome="delivered",trigger="first",type="{MESSAGE}"}}': 64,
    f'ringback_deliveries_settled_total{{state="delivered",type="{MESSAGE}"}}': 64,
    f'ringback_attempt_duration_seconds_count{{type="{MESSAGE}"}}': 64,
    f'ringback_first_attempt_delay_seconds_count{{type="{MESSAGE}"}}': 64,
    f'ringback_end_to_end_seconds_count{{type="{MESSAGE}"}}': 64,
}
QUIET = {
    "ringback_deliveries_due": 0,
    "ringback_outbox_depth": 0,
    "ringback_queue_depth": 0,
    "ringback_dead_letters": 0,
    "ringback_broker_connected": 1,
    "ringback_database_connected": 1,
}


def rise(
    before: dict[str, float], after: dict[str, float], samples: Iterable[str]
) -> dict[str, float]:
    """By how much each of them is more."""
    return {sample: after.get(sample, 0) - before.get(sample, 0) for sample in samples}


def shown_as_directly(ringback: Ringback, event_id: str) -> bool:
    wait_for_state(ringback.admin, event_id, "delivered")
    directly: bool = ringback.admin.get(f"/v1/events/{event_id}")["directly"]
    return directly
