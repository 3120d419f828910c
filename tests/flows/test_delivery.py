"""From a POST to a webhook, as backends and suppliers see it; embedded and on RabbitMQ +
PostgreSQL.
"""

import json

from tests.flows.conftest import Starting
from tests.kit.platform import (
    MESSAGE,
    ids_at,
    message,
    status,
    verify_all,
    wait_for_all,
    wait_for_state,
)
from tests.kit.receiver import Receiver
from tests.kit.waiting import wait_for


def test_an_event_arrives_signed_with_the_bytes_that_were_sent(
    start: Starting, receiver: Receiver
) -> None:
    """The main job: numbers survive as they were written, and what happened can be read."""
    ringback = start()
    token = ringback.token("crm", callbacks={MESSAGE: receiver.url("/ok/crm")})
    data = (
        json.dumps(message(1)["data"], ensure_ascii=False)[:-1]
        + ', "amount":1.10,"big":12345678901234567890}'
    )
    body = (
        f'{{"id":"evt_first","timestamp":"2026-11-22T11:00:00+01:00","type":"{MESSAGE}",'
        f'"data":{data}}}'
    )

    answer = ringback.publisher.call("POST", "/v1/events", body.encode())

    assert (answer.status, answer.data) == (202, {"id": "evt_first", "status": "accepted"})
    (got,) = receiver.wait_for("/ok/crm")
    verify_all(receiver, "/ok/crm", token["signing_secret"])
    envelope = (
        f'{{"id":"evt_first","type":"{MESSAGE}","schema_version":"1",'
        f'"timestamp":"2026-11-22T10:00:00.000Z","data":{data}}}'
    )
    assert got.body.decode() == envelope
    assert got.headers["user-agent"].startswith("Ringback/")
    assert got.headers["ringback-attempt"] == "1"
    (attempt,) = wait_for_state(ringback.admin, "evt_first", "delivered")["attempts"]
    assert (attempt["number"], attempt["trigger"], attempt["status_code"], attempt["error"]) == (
        1,
        "first",
        200,
        None,
    )


def test_every_event_reaches_every_subscriber_once(start: Starting, receiver: Receiver) -> None:
    """Many clients at once, three tokens, nothing missing, nothing twice, every signature good."""
    ringback = start(dispatchers=2)
    paths = ("/ok/1", "/ok/2", "/ok/3")
    tokens = {
        path: ringback.token(path, callbacks={MESSAGE: receiver.url(path)}, wait=path == paths[-1])
        for path in paths
    }

    published = ringback.publisher.publish_many(
        [message(n, conversation=f"cnv_{n % 50}") for n in range(1000)]
    )

    assert dict(published.statuses) == {202: 1000}
    for path, token in tokens.items():
        counts = wait_for_all(receiver, path, published.ids)
        assert set(counts.values()) == {1}
        verify_all(receiver, path, token["signing_secret"])


def test_a_receiver_that_fails_twice_gets_it_on_the_third_attempt(
    start: Starting, receiver: Receiver
) -> None:
    """Same id and body, fresh timestamp and signature, every attempt readable."""
    ringback = start()
    token = ringback.token("flaky", callbacks={MESSAGE: receiver.url("/fail/2/x")})

    event_id = ringback.publisher.publish(message(1))

    requests = receiver.wait_for("/fail/2/x", 3)
    verify_all(receiver, "/fail/2/x", token["signing_secret"])
    assert {r.headers["webhook-id"] for r in requests} == {event_id}
    assert len({r.body for r in requests}) == 1
    assert len({r.headers["webhook-timestamp"] for r in requests}) >= 2
    assert [r.headers["ringback-attempt"] for r in requests] == ["1", "2", "3"]
    attempts = wait_for_state(ringback.admin, event_id, "delivered")["attempts"]
    assert [(a["number"], a["trigger"], a["status_code"]) for a in attempts] == [
        (1, "first", 500),
        (2, "retry", 500),
        (3, "retry", 200),
    ]


def test_the_schedule_ends(start: Starting, receiver: Receiver) -> None:
    """A receiver that never works is not called for ever, and the reason is reported."""
    ringback = start(RETRY_SCHEDULE="500ms,500ms")
    ringback.token("broken", callbacks={MESSAGE: receiver.url("/status/500/x")})

    event_id = ringback.publisher.publish(message(1))

    delivery = wait_for_state(ringback.admin, event_id, "exhausted")
    assert delivery["reason"] == "3 attempts failed"
    assert len(receiver.requests("/status/500/x")) == 3


def test_an_id_is_one_event_however_often_and_by_whom_it_is_sent(
    start: Starting, receiver: Receiver
) -> None:
    """The idempotency key: the first content wins, other content is counted on the event."""
    ringback = start()
    ringback.token("x", callbacks={MESSAGE: receiver.url("/ok/x")})

    published = ringback.publisher.publish_many([message(1, id="evt_same")] * 50, clients=16)
    wait_for_all(receiver, "/ok/x", ["evt_same"])
    ringback.publisher.publish(message(2, id="evt_same"))
    last = ringback.publisher.publish(message(3))

    assert dict(published.statuses) == {202: 50}
    wait_for_all(receiver, "/ok/x", [last])
    assert ids_at(receiver, "/ok/x")["evt_same"] == 1
    assert b"msg_1" in receiver.requests("/ok/x")[0].body
    wait_for(
        "the conflict to be shown",
        lambda: (ringback.admin.find("/v1/events/evt_same") or {}).get("conflicts") == 1,
    )


def test_type_channel_and_dates_decide_who_is_called(start: Starting, receiver: Receiver) -> None:
    """A token sees what it may see and nothing else."""
    ringback = start()
    ringback.token(
        "all",
        callbacks={MESSAGE: receiver.url("/ok/all"), "message.status": receiver.url("/ok/status")},
        wait=False,
    )
    ringback.token(
        "one channel", callbacks={MESSAGE: receiver.url("/ok/one")}, channels=("chn_1",), wait=False
    )
    ringback.token(
        "another channel", callbacks={MESSAGE: receiver.url("/ok/other")}, channels=("chn_2",)
    )

    seen = ringback.publisher.publish(message(1, channel="chn_1"))
    reported = ringback.publisher.publish(status("sent"))
    last = ringback.publisher.publish(message(2, channel="chn_2"))

    wait_for_all(receiver, "/ok/all", [seen, last])
    wait_for_all(receiver, "/ok/status", [reported])
    wait_for_all(receiver, "/ok/one", [seen])
    wait_for_all(receiver, "/ok/other", [last])
    assert [
        len(receiver.requests(p)) for p in ("/ok/all", "/ok/status", "/ok/one", "/ok/other")
    ] == [2, 1, 1, 1]


def test_events_of_a_conversation_arrive_in_order(start: Starting, receiver: Receiver) -> None:
    """While nothing fails: one at a time is on its way to a callback."""
    ringback = start()
    ringback.token("x", callbacks={MESSAGE: receiver.url("/slow/5/x")})

    ids = [ringback.publisher.publish(message(n, conversation="cnv_one")) for n in range(40)]

    wait_for_all(receiver, "/slow/5/x", ids)
    assert [r.headers["webhook-id"] for r in receiver.requests("/slow/5/x")] == ids


def test_a_hanging_callback_costs_only_itself(start: Starting, receiver: Receiver) -> None:
    """Its deliveries become rows after a second, and what is for others goes out at once."""
    ringback = start(TIMEOUT="5s", CALLBACK_CONCURRENCY="4")
    ringback.token("hangs", callbacks={MESSAGE: receiver.url("/hang/x")}, wait=False)
    ringback.token("works", callbacks={MESSAGE: receiver.url("/ok/x")})

    ids = [ringback.publisher.publish(message(n)) for n in range(100)]

    counts = wait_for_all(receiver, "/ok/x", ids, limit_s=4)
    assert set(counts.values()) == {1}
    spilled = 'ringback_deliveries_deferred_total{reason="spilled"}'
    wait_for(
        "deliveries to be spilled", lambda: ringback.metrics(ringback.dispatchers[0])[spilled] > 0
    )
    waiting = "/v1/deliveries?state=pending&limit=100"
    wait_for(
        "all of its deliveries to be rows",
        lambda: len(ringback.admin.get(waiting)["data"]) == 100,
        limit_s=4,
    )
