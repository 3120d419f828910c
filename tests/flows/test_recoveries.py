"""What was not delivered is sent once more on request; embedded and on RabbitMQ +
PostgreSQL.
"""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE
from typing import Any

import sqlalchemy as sa

from schemas.deliveries.recoveries import Recovery, RecoveryState
from schemas.ids import RecoveryId
from store.engine.database import Connection, Database
from store.recoveries import jobs
from tests.flows.conftest import Starting
from tests.kit.client import Client
from tests.kit.platform import MESSAGE, message, verify_all, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import PROGRAM, Ringback
from tests.kit.waiting import wait_for

LONG_AGO = "2020-01-01T00:00:00Z"
MANY = 10_000
"""So many that there is a middle, in which a dispatcher can be killed."""


def recover(admin: Client, **query: object) -> dict[str, Any]:
    """The recovery, once it is over."""
    asked = admin.call("POST", "/v1/recoveries", {"since": LONG_AGO} | query)
    assert asked.status == 202, asked.data
    return wait_for("the recovery to be done", lambda: ended(admin, asked.data["id"]), 20) or {}


def ended(admin: Client, recovery_id: str) -> dict[str, Any] | None:
    found: dict[str, Any] = admin.get(f"/v1/recoveries/{recovery_id}")
    return None if found["state"] == "running" else found


def figures(recovery: dict[str, Any]) -> tuple[int, int, int]:
    return recovery["total"], recovery["done"], recovery["skipped"]


def test_what_was_given_up_is_recovered(start: Starting, receiver: Receiver) -> None:
    """It comes with the same id and bytes, announced as a repair, with the whole schedule again."""
    ringback = start(RETRY_SCHEDULE="100ms")
    token = ringback.token("crm", callbacks={MESSAGE: receiver.url("/switch/crm/x")})
    receiver.switch("crm", 500)
    ids = [ringback.publisher.publish(message(n)) for n in range(3)]
    for event_id in ids:
        wait_for_state(ringback.admin, event_id, "exhausted")
    receiver.switch("crm", 200)

    recovery = recover(ringback.admin, states=["exhausted"])

    assert figures(recovery) == (3, 3, 0)
    for event_id in ids:
        attempts = wait_for_state(ringback.admin, event_id, "delivered")["attempts"]
        assert [one["trigger"] for one in attempts] == ["first", "retry", "recover"]
        assert [one["number"] for one in attempts] == [1, 2, 3]
    verify_all(receiver, "/switch/crm/x", token["signing_secret"])
    for event_id in ids:
        came = [
            one
            for one in receiver.requests("/switch/crm/x")
            if one.headers["webhook-id"] == event_id
        ]
        assert [one.headers.get("ringback-trigger") for one in came] == [None, None, "recover"]
        assert len({one.body for one in came}) == 1


def test_a_supplier_that_subscribes_late_gets_what_was_missed(
    start: Starting, receiver: Receiver
) -> None:
    """The events were stored though no callback saw them. Each comes once, however often it is
    asked for.
    """
    ringback = start()
    ids = [ringback.publisher.publish(message(n)) for n in range(20)]
    wait_for("the last to be stored", lambda: ringback.admin.find(f"/v1/events/{ids[-1]}"))
    ringback.token("late", callbacks={MESSAGE: receiver.url("/ok/late")})

    first = recover(ringback.admin, states=["missing"])
    second = recover(ringback.admin, states=["missing"])

    assert (figures(first), figures(second)) == ((20, 20, 0), (0, 0, 0))
    assert wait_for_all(receiver, "/ok/late", ids) == dict.fromkeys(ids, 1)
    assert {one.headers["ringback-trigger"] for one in receiver.requests("/ok/late")} == {"recover"}
    assert wait_for_state(ringback.admin, ids[0], "delivered")["attempts"][0]["number"] == 1


def test_what_was_kept_is_released_on_request(start: Starting, receiver: Receiver) -> None:
    """While its callback is off it is skipped and counted; once that is back, the recovery is what
    sends it.
    """
    ringback = start()
    crm = ringback.token("crm", callbacks={MESSAGE: receiver.url("/ok/kept")})
    address = f"/v1/tokens/{crm['id']}/callbacks/{MESSAGE}"
    put_callback = {"url": receiver.url("/ok/kept"), "held": "keep"}
    ringback.admin.send("PUT", address, put_callback | {"enabled": False})
    ringback.wait_until_in_force()
    kept = [ringback.publisher.publish(message(n)) for n in range(3)]
    for event_id in kept:
        wait_for_state(ringback.admin, event_id, "held")

    while_off = recover(ringback.admin, states=["held"])
    ringback.admin.send("PUT", address, put_callback | {"enabled": True})
    ringback.wait_until_in_force()
    new = ringback.publisher.publish(message("new"))
    wait_for_all(receiver, "/ok/kept", [new])
    before = receiver.requests("/ok/kept")
    back = recover(ringback.admin, states=["held"])

    assert [one.headers["webhook-id"] for one in before] == [new]
    assert (figures(while_off), figures(back)) == ((3, 0, 3), (3, 3, 0))
    assert wait_for_all(receiver, "/ok/kept", kept) == dict.fromkeys([*kept, new], 1)


def test_a_disabled_callback_is_tried_by_hand(start: Starting, receiver: Receiver) -> None:
    """A failure is only recorded, and the delivery stays held; a success delivers this one,
    and switches nothing.
    """
    ringback = start()
    token = ringback.token("crm", callbacks={MESSAGE: receiver.url("/switch/manual/x")})
    receiver.switch("manual", 410)
    event_id = ringback.publisher.publish(message(1))
    retry = f"/v1/deliveries/{wait_for_state(ringback.admin, event_id, 'held')['id']}"

    receiver.switch("manual", 500)
    failed = tried(ringback.admin, retry)
    receiver.switch("manual", 200)
    worked = tried(ringback.admin, retry)

    assert (failed["state"], [one["trigger"] for one in failed["attempts"]]) == (
        "held",
        ["first", "manual"],
    )
    assert (worked["state"], worked["attempts"][-1]["trigger"]) == ("delivered", "manual")
    assert (
        ringback.admin.get(f"/v1/tokens/{token['id']}")["callbacks"][MESSAGE]["state"] == "disabled"
    )


def test_a_repair_that_fails_is_retried_by_the_schedule(
    start_embedded: Starting, receiver: Receiver
) -> None:
    """It has all of it once more, and ends as it ended before."""
    ringback = start_embedded(RETRY_SCHEDULE="100ms,100ms")
    ringback.token("broken", callbacks={MESSAGE: receiver.url("/status/500/x")})
    event_id = ringback.publisher.publish(message(1))
    wait_for_state(ringback.admin, event_id, "exhausted")

    recover(ringback.admin, states=["exhausted"])

    receiver.wait_for("/status/500/x", 6)
    attempts = wait_for_state(ringback.admin, event_id, "exhausted")["attempts"]
    assert [one["trigger"] for one in attempts] == [
        "first",
        "retry",
        "retry",
        "recover",
        "retry",
        "retry",
    ]


def test_a_dispatcher_that_is_killed_in_a_recovery_costs_nothing_of_it(
    start: Starting, receiver: Receiver
) -> None:
    """The next one goes on where the last slice ended: each delivery is made, and counted, once."""
    ringback = start()
    ids = [
        event_id for first in range(0, MANY, 1000) for event_id in publish_batch(ringback, first)
    ]
    wait_for("all to be stored", lambda: stored(ringback, "events") == MANY, 60)
    ringback.token("late", callbacks={MESSAGE: receiver.url("/ok/late")})
    (dispatcher,) = ringback.dispatchers

    asked = ringback.admin.send(
        "POST", "/v1/recoveries", {"since": LONG_AGO, "states": ["missing"]}
    )["id"]
    wait_for("some to be done", lambda: stored_recovery(ringback, asked).done)
    ringback.stop(dispatcher, signal.SIGKILL)
    begun = stored_recovery(ringback, asked)
    ringback.start(dispatcher)

    assert begun.state is RecoveryState.RUNNING, "it was killed in the middle"
    done = wait_for("the recovery to be done", lambda: ended(ringback.admin, asked), 60) or {}
    assert figures(done) == (MANY, MANY, 0)
    assert stored(ringback, "deliveries") == MANY
    # those that were leased when it was killed come last, behind all the others
    wait_for_all(receiver, "/ok/late", ids[:100], 180)


def test_a_recovery_is_asked_for_and_followed_at_the_command_line(
    start: Starting, receiver: Receiver
) -> None:
    """It waits for the end, and says what came of it."""
    ringback = start(RETRY_SCHEDULE="100ms")
    ringback.token("crm", callbacks={MESSAGE: receiver.url("/switch/cli/x")})
    receiver.switch("cli", 500)
    event_id = ringback.publisher.publish(message(1))
    wait_for_state(ringback.admin, event_id, "exhausted")
    receiver.switch("cli", 200)

    said = ringback.run(
        "deliveries", "recover", "--since", LONG_AGO, "--state", "exhausted", "--state", "held"
    )
    again = json.loads(ringback.run("deliveries", "recover", "--since", LONG_AGO, "--json"))

    assert re.fullmatch(r"rec_\w+: 1 made due again\n", said)
    assert (again["state"], figures(again)) == ("done", (0, 0, 0))
    wait_for_state(ringback.admin, event_id, "delivered")


def test_a_recovery_at_the_command_line_is_stopped_by_an_interrupt(
    start_on_services: Starting,
) -> None:
    """Without a dispatcher it says so, and waits; Ctrl-C leaves nothing that begins behind one's
    back.
    """
    ringback = start_on_services(dispatchers=0)
    command = [PROGRAM, "deliveries", "recover", "--since", LONG_AGO, "--json"]
    with subprocess.Popen(
        command, env=ringback.env, cwd=ringback.dir, stdout=PIPE, stderr=PIPE, text=True
    ) as running:
        assert running.stderr
        line = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)

    assert "is a dispatcher running?" in line
    assert running.returncode == 1
    assert json.loads(out)["state"] == "cancelled"
    assert err == "ringback: the recovery was stopped: the other deliveries stay as they were\n"
    assert stored_recovery(ringback, json.loads(out)["id"]).state is RecoveryState.CANCELLED


def tried(admin: Client, address: str) -> dict[str, Any]:
    """The delivery as it is once the attempt that is asked for here is recorded."""
    asked = admin.send("POST", f"{address}/retry")["attempt_id"]
    wait_for(
        "the attempt", lambda: asked in [one["id"] for one in admin.get(address)["attempts"]], 20
    )
    found: dict[str, Any] = admin.get(
        address
    )  # again: its state may have been read before the attempt was there
    return found


def publish_batch(ringback: Ringback, first: int) -> list[str]:
    """A thousand events; their ids."""
    events = [message(number, id=f"evt_{number:05}") for number in range(first, first + 1000)]
    ids: list[str] = ringback.publisher.send("POST", "/v1/events/batch", {"events": events})["ids"]
    return ids


def stored(ringback: Ringback, table: str) -> int:
    """How many rows there are, whatever process runs."""
    with opened(ringback) as connection:
        return connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0


def stored_recovery(ringback: Ringback, recovery_id: str) -> Recovery:
    with opened(ringback) as connection:
        return jobs.get(connection, RecoveryId(recovery_id))


@contextmanager
def opened(ringback: Ringback) -> Iterator[Connection]:
    database = Database(ringback.database_url)
    try:
        with database.read() as connection:
            yield connection
    finally:
        database.close()
