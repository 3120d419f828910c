"""What administrators change, as suppliers feel it: in force within a second, in every process, and
nothing lost by it.

One Ringback for all of it, embedded and on RabbitMQ + PostgreSQL in turn. Each test has tokens that
see a channel of their own.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from schemas.times import UnixMs, now_ms, to_rfc3339
from tests.kit.platform import MESSAGE, deliveries_of, message, verify_all, wait_for_all
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.subscriber import Subscriber
from tests.kit.waiting import wait_for


@pytest.fixture(scope="module", params=["embedded", "services"])
def ringback(request: pytest.FixtureRequest) -> Iterator[Ringback]:
    """One retry soon, one after whatever a test changes. On services, two of each process: what one
    learns has to reach the other.
    """
    services = {}
    if request.param == "services":
        rabbit: Rabbit = request.getfixturevalue("rabbit_for_all")
        postgres: Postgres = request.getfixturevalue("postgres_node")
        services = {"broker_url": rabbit.url, "database_url": postgres.fresh_database()}
    made = Ringback(**services, dispatchers=2, workers=2, RETRY_SCHEDULE="1s,3s")
    yield made
    made.close()


def test_a_callback_that_is_off_holds_its_deliveries(
    ringback: Ringback, receiver: Receiver
) -> None:
    """Switched off for a maintenance: nothing comes meanwhile, nothing is lost by it."""
    crm = Subscriber(ringback, receiver, "/ok/off")

    crm.put(enabled=False)
    ids = [crm.publish() for _ in range(3)]
    for event_id in ids:
        crm.state(event_id, "held")
    assert crm.came() == {}
    crm.put(enabled=True)

    assert wait_for_all(receiver, "/ok/off", ids) == dict.fromkeys(ids, 1)
    for event_id in ids:
        crm.state(event_id, "delivered")


def test_a_suspended_token_holds_what_it_waits_for_and_what_comes(
    ringback: Ringback, receiver: Receiver
) -> None:
    """A retry that was pending is held too, and both go on where they were."""
    crm = Subscriber(ringback, receiver, "/switch/suspended/x")
    receiver.switch("suspended", 500)
    failed = crm.publish()
    receiver.wait_for(crm.path)

    crm.change("PATCH", body={"enabled": False})
    came = crm.publish()
    crm.state(came, "held")
    crm.state(failed, "held")
    assert not crm.is_known(crm.token["token"])
    receiver.switch("suspended", 200)
    crm.change("PATCH", body={"enabled": True})

    assert [attempt["number"] for attempt in crm.state(came, "delivered")["attempts"]] == [1]
    assert crm.state(failed, "delivered")["attempts"][-1]["trigger"] == "retry"
    assert crm.is_known(crm.token["token"])


def test_a_revoked_token_is_called_no_more(ringback: Ringback, receiver: Receiver) -> None:
    """Not even for what was pending. Another token's retry shows that the time for it has come and
    gone.
    """
    crm = Subscriber(ringback, receiver, "/status/500/revoked", wait=False)
    other = Subscriber(ringback, receiver, "/fail/1/other")
    pending = crm.publish()
    receiver.wait_for(crm.path)

    crm.change("DELETE")
    attempts = crm.came()
    later, control = crm.publish(), other.publish()

    other.state(control, "delivered")
    assert "revoked" in crm.state(pending, "cancelled")["reason"]
    assert crm.came() == attempts
    assert deliveries_of(ringback.admin, later) == []
    assert not crm.is_known(crm.token["token"])


def test_a_retry_of_a_token_that_has_expired_meanwhile_is_cancelled(
    ringback: Ringback, receiver: Receiver
) -> None:
    """Dates are judged again at each attempt."""
    crm = Subscriber(ringback, receiver, "/status/500/expired")
    event_id = crm.publish()
    receiver.wait_for(crm.path)

    crm.change("PATCH", body={"expires_at": to_rfc3339(now_ms())})

    assert "expired" in crm.state(event_id, "cancelled")["reason"]
    assert not crm.is_known(crm.token["token"])


def test_a_token_that_expires_by_its_date_gets_no_more_attempts(
    ringback: Ringback, receiver: Receiver
) -> None:
    """In the middle of a delivery, and though nothing is changed at that moment: what is left of it
    is cancelled, with the reason.
    """
    crm = Subscriber(ringback, receiver, "/after/5/expiring")
    event_id = crm.publish()
    receiver.wait_for(crm.path)
    expires_at = to_rfc3339(UnixMs(now_ms() + 2_000))

    crm.change("PATCH", body={"expires_at": expires_at})

    cancelled = crm.state(event_id, "cancelled")
    assert cancelled["reason"] == "the token has expired"
    assert cancelled["attempts"]
    assert all(attempt["started_at"] < expires_at for attempt in cancelled["attempts"])
    assert ringback.admin.get(crm.address)["state"] == "expired"
    assert not crm.is_known(crm.token["token"])


def test_a_token_becomes_active_by_its_date(ringback: Ringback, receiver: Receiver) -> None:
    """With no job that would have to run for it."""
    crm = Subscriber(
        ringback, receiver, "/ok/activating", activates_at=to_rfc3339(UnixMs(now_ms() + 4_000))
    )
    assert crm.token["state"] == "scheduled"

    wait_for("its time to come", lambda: ringback.admin.get(crm.address)["state"] == "active")

    assert crm.is_known(crm.token["token"])
    assert wait_for_all(receiver, crm.path, [event_id := crm.publish()]) == {event_id: 1}


def test_a_token_is_called_from_its_activation_on(ringback: Ringback, receiver: Receiver) -> None:
    """What came before is not for it."""
    crm = Subscriber(ringback, receiver, "/ok/scheduled", activates_at="2099-01-01T00:00:00Z")
    assert crm.token["state"] == "scheduled"
    assert not crm.is_known(crm.token["token"])
    early = crm.publish()
    wait_for("the early event to be read", lambda: ringback.admin.find(f"/v1/events/{early}"))

    crm.change("PATCH", body={"activates_at": to_rfc3339(now_ms())})
    event_id = crm.publish()

    crm.state(event_id, "delivered")
    assert crm.came() == {event_id: 1}
    assert deliveries_of(ringback.admin, early) == []


def test_deliveries_of_a_deleted_callback_are_cancelled(
    ringback: Ringback, receiver: Receiver
) -> None:
    """There is nowhere to send them; the reason is reported."""
    crm = Subscriber(ringback, receiver, "/status/500/deleted")
    event_id = crm.publish()
    receiver.wait_for(crm.path)

    crm.change("DELETE", f"/callbacks/{MESSAGE}")

    delivery = crm.state(event_id, "cancelled")
    assert "deleted" in delivery["reason"]
    assert delivery["callback"] is None
    assert ringback.admin.call("POST", f"/v1/deliveries/{delivery['id']}/retry").status == 409


def test_a_delivery_that_was_given_up_is_retried_by_hand(
    ringback: Ringback, receiver: Receiver
) -> None:
    """The supplier is back after the weekend."""
    crm = Subscriber(ringback, receiver, "/switch/exhausted/x")
    receiver.switch("exhausted", 500)
    event_id = crm.publish()
    delivery = crm.state(event_id, "exhausted")
    receiver.switch("exhausted", 200)

    answer = ringback.admin.call("POST", f"/v1/deliveries/{delivery['id']}/retry")

    assert answer.status == 202
    last = crm.state(event_id, "delivered")["attempts"][-1]
    assert (last["id"], last["trigger"], last["number"], last["status_code"]) == (
        answer.data["attempt_id"],
        "manual",
        4,
        200,
    )
    sent = receiver.requests(crm.path)[-1].headers
    assert (sent["ringback-trigger"], sent["ringback-attempt"], sent["webhook-id"]) == (
        "manual",
        "4",
        event_id,
    )


def test_a_retry_by_hand_that_fails_does_not_disturb_the_schedule(
    ringback: Ringback, receiver: Receiver
) -> None:
    """It is an attempt in addition to the automatic ones."""
    receiver.switch("by-hand", 500)
    crm = Subscriber(ringback, receiver, "/busy/by-hand/60")
    event_id = crm.publish()
    receiver.wait_for(crm.path)
    crm.put("/status/500/manual")
    before = crm.state(event_id, "pending")

    ringback.admin.send("POST", f"/v1/deliveries/{before['id']}/retry")

    address = f"/v1/deliveries/{before['id']}"
    after = wait_for("the attempt", lambda: tried(ringback.admin.get(address), 2))
    assert [(a["trigger"], a["status_code"]) for a in after["attempts"]] == [
        ("first", 500),
        ("manual", 500),
    ]
    assert (after["state"], after["next_attempt_at"]) == ("pending", before["next_attempt_at"])


@pytest.mark.parametrize(("path", "status"), [("/ok/new", 200), ("/status/503/new", 503)])
def test_a_callback_can_be_tested_the_moment_it_is_made(
    ringback: Ringback, receiver: Receiver, path: str, status: int
) -> None:
    """Dispatchers that do not know it yet look it up; the answer is the attempt, whatever came of
    it.
    """
    crm = Subscriber(ringback, receiver, path, wait=False)

    attempt = ringback.admin.send("POST", f"{crm.address}/callbacks/{MESSAGE}/test")

    assert (attempt["trigger"], attempt["status_code"]) == ("test", status)
    (sent,) = receiver.requests(path)
    assert sent.headers["webhook-id"].startswith("evt_test_")
    assert sent.headers["ringback-trigger"] == "test"
    verify_all(receiver, path, crm.token["signing_secret"])


def test_a_callback_can_be_tested_with_data_of_ones_own(
    ringback: Ringback, receiver: Receiver
) -> None:
    """They arrive byte for byte, and signed; the answer says what the attempt met."""
    crm = Subscriber(ringback, receiver, "/ok/own", wait=False)
    data = json.dumps(message(1)["data"])[:-1] + ', "big":12345678901234567890, "amount":1.10}'

    answer = ringback.admin.call(
        "POST", f"{crm.address}/callbacks/{MESSAGE}/test", f'{{"data":{data}}}'.encode()
    )

    assert (answer.status, answer.data["address"]) == (200, f"127.0.0.1:{receiver.port}")
    assert answer.data["response_headers"] == {"content-length": "2"}
    (sent,) = receiver.requests("/ok/own")
    assert sent.body.endswith(b',"data":' + data.encode() + b"}")
    verify_all(receiver, "/ok/own", crm.token["signing_secret"])


def test_a_regenerated_token_takes_the_place_of_the_one_before(
    ringback: Ringback, receiver: Receiver
) -> None:
    """At once, or with an overlap in which both authenticate."""
    crm = Subscriber(ringback, receiver, "/ok/regenerated", wait=False)
    assert crm.is_known(crm.token["token"])

    second = crm.change("POST", "/regenerate", {"overlap": "1h"})["token"]
    assert crm.is_known(second)
    assert crm.is_known(crm.token["token"])
    third = crm.change("POST", "/regenerate", {})["token"]

    assert crm.is_known(third)
    assert not crm.is_known(second)
    assert not crm.is_known(crm.token["token"])


def test_both_signing_secrets_sign_during_the_overlap(
    ringback: Ringback, receiver: Receiver
) -> None:
    """Receivers can change over when they like;
    without an overlap only the newest signs.
    """
    crm = Subscriber(ringback, receiver, "/ok/before")

    second = crm.change("POST", "/rotate-signing-secret", {"overlap": "1h"})["signing_secret"]
    wait_for_all(receiver, "/ok/before", [crm.publish()])
    crm.change("POST", "/rotate-signing-secret", {"overlap": "0s"})
    crm.put("/ok/after")
    wait_for_all(receiver, "/ok/after", [crm.publish()])

    assert [len(signatures(receiver, path)) for path in ("/ok/before", "/ok/after")] == [2, 1]
    verify_all(receiver, "/ok/before", crm.token["signing_secret"])
    verify_all(receiver, "/ok/before", second)
    verify_all(
        receiver, "/ok/after", ringback.admin.get(f"{crm.address}/signing-secret")["signing_secret"]
    )


def test_a_replaced_signing_secret_signs_no_more_when_its_overlap_is_over(
    ringback: Ringback, receiver: Receiver
) -> None:
    """By its date, with no job: a receiver that has only the old secret refuses what comes from
    then on.
    """
    crm = Subscriber(ringback, receiver, "/ok/overlap")
    second = crm.change("POST", "/rotate-signing-secret", {"overlap": "2s"})["signing_secret"]
    over_at = now_ms() + 2_000

    wait_for("the overlap to be over", lambda: now_ms() > over_at)
    wait_for_all(receiver, crm.path, [crm.publish()])

    assert len(signatures(receiver, crm.path)) == 1
    verify_all(receiver, crm.path, second)
    with pytest.raises(WebhookVerificationError):
        verify_all(receiver, crm.path, crm.token["signing_secret"])


def test_a_new_url_is_where_everything_goes(ringback: Ringback, receiver: Receiver) -> None:
    """What is new, and what was pending. The headers go along, and are never shown again."""
    crm = Subscriber(ringback, receiver, "/status/500/old")
    pending = crm.publish()
    receiver.wait_for(crm.path)

    shown = crm.put("/ok/url", headers={"authorization": "Basic secret"})
    tried_at_the_old = crm.came()
    ids = [pending, crm.publish()]

    assert "secret" not in str(shown)
    wait_for_all(receiver, "/ok/url", ids)
    assert {request.headers["authorization"] for request in receiver.requests("/ok/url")} == {
        "Basic secret"
    }
    assert crm.came() == tried_at_the_old


def tried(delivery: dict[str, Any], times: int) -> dict[str, Any] | None:
    """The delivery, once it has so many attempts."""
    return delivery if len(delivery["attempts"]) == times else None


def signatures(receiver: Receiver, path: str) -> list[str]:
    return receiver.requests(path)[0].headers["webhook-signature"].split()
