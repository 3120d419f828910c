"""What is lost, and what comes twice, when processes, the broker and the database end under load.
Small sizes; all of it counted.
"""

import re
import signal
import socket
from collections import Counter

import sqlalchemy as sa

from store.engine.database import Database
from tests.flows.conftest import Starting
from tests.kit.client import Client
from tests.kit.platform import MESSAGE, deliveries_of, ids_at, message, publishing, wait_for_all
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

PATH = "/ok/crm"
MANY = 250
"""So many requests that the load is in full swing, and less than half of it over."""

MAX_TWICE = 300
"""What the contract allows after a crash: deliveries whose outcome had not been recorded."""


def test_a_dispatcher_that_is_killed_loses_nothing(
    start_on_services: Starting, receiver: Receiver
) -> None:
    """The broker has what it held; its successor needs nothing from it."""
    ringback = subscribed(start_on_services(), receiver)

    with publishing(ringback.publisher, 1000, rate=250) as result:
        receiver.wait_for(PATH, MANY)
        ringback.stop("dispatch-0", signal.SIGKILL)
        ringback.start("dispatch-0")

    assert dict(result.result().statuses) == {202: 1000}
    counts = counted(ringback, receiver, result.result().ids)
    assert twice(counts) <= MAX_TWICE


def test_one_process_for_all_that_is_killed_loses_nothing_accepted(
    start_embedded: Starting, receiver: Receiver
) -> None:
    """Its database has every 202; leases of the dead are void at the next start."""
    ringback = subscribed(start_embedded(), receiver)

    with publishing(ringback.publisher, 1000, rate=250) as result:
        receiver.wait_for(PATH, MANY)
        ringback.stop("serve", signal.SIGKILL)
        ringback.start("serve")

    assert set(result.result().statuses) == {202, 0}
    counts = counted(ringback, receiver, result.result().ids)
    assert twice(counts) <= MAX_TWICE


def test_one_process_for_all_that_is_stopped_loses_nothing_and_repeats_nothing(
    start_embedded: Starting, receiver: Receiver
) -> None:
    """A restart is an ordinary day: exit 0, and the webhooks do not show it."""
    ringback = subscribed(start_embedded(), receiver, "/slow/20/crm")

    with publishing(ringback.publisher, 1000, rate=250) as result:
        receiver.wait_for("/slow/20/crm", MANY)
        assert ringback.stop("serve") == 0
        ringback.start("serve")

    counts = counted(ringback, receiver, result.result().ids, "/slow/20/crm")
    assert twice(counts) == 0


def test_one_of_two_dispatchers_that_is_stopped_loses_nothing_and_repeats_nothing(
    start_on_services: Starting, receiver: Receiver
) -> None:
    """It finishes what it sends, writes down the rest as due, and the other goes on."""
    ringback = subscribed(start_on_services(dispatchers=2), receiver, "/slow/20/crm")

    with publishing(ringback.publisher, 1000, rate=250) as result:
        receiver.wait_for("/slow/20/crm", MANY)
        assert ringback.stop("dispatch-0") == 0

    assert dict(result.result().statuses) == {202: 1000}
    counts = counted(ringback, receiver, result.result().ids, "/slow/20/crm")
    assert twice(counts) == 0
    assert ringback.running() == {"api", "dispatch-1"}


def test_an_api_that_is_stopped_has_stored_all_that_it_accepted(
    start_on_services: Starting, receiver: Receiver
) -> None:
    """Its workers answer what they were asked, then leave with it."""
    ringback = subscribed(start_on_services(workers=2), receiver)

    with publishing(ringback.publisher, 1000, rate=250) as result:
        receiver.wait_for(PATH, MANY)
        assert ringback.stop("api") == 0
        ringback.start("api")

    counts = counted(ringback, receiver, result.result().ids)
    assert twice(counts) == 0


def test_a_signal_right_after_the_start_is_obeyed(start: Starting) -> None:
    """A setting may be changed twice in a hurry: once its port is open,
    a process can end cleanly.
    """
    ringback = start()

    for name in list(ringback.processes):
        ringback.stop(name)
        ringback.spawn(name)
        wait_for(f"{name}'s port", lambda name=name: listens(ringback.ports[name]))

        assert ringback.stop(name) == 0, ringback.log(name)
        assert "Traceback" not in ringback.log(name)


def test_a_broker_that_is_killed_is_not_noticed_by_backends(
    start_on_services: Starting, receiver: Receiver, rabbit: Rabbit
) -> None:
    """Every POST is taken, by the outbox; afterwards all is delivered by the same processes."""
    ringback = subscribed(start_on_services(), receiver)
    processes = ringback.running()

    with publishing(ringback.publisher, 1200, rate=150) as result:
        receiver.wait_for(PATH, MANY)
        rabbit.kill()
        for name in processes:
            wait_for(f"{name} to miss it", lambda name=name: "broker" in ringback.ready(name))
            assert ringback.metrics(name)["ringback_broker_connected"] == 0
        rabbit.start()

    assert dict(result.result().statuses) == {202: 1200}
    counts = counted(ringback, receiver, result.result().ids)
    assert twice(counts) <= MAX_TWICE
    wait_for(
        "the broker to be in use again",
        lambda: not any(ringback.ready(name) for name in processes),
        limit_s=40,
    )
    assert ringback.running() == processes


def test_a_database_that_is_away_is_not_noticed_by_backends(
    start_on_services: Starting, receiver: Receiver, postgres: Postgres
) -> None:
    """Every POST is taken, by the broker; what cannot be recorded is not sent, and all of it is
    when the database is back.
    """
    ringback = subscribed(start_on_services(), receiver)
    processes = ringback.running()
    before = ringback.publisher.publish_many([message(n) for n in range(300)])

    postgres.stop()
    for name in processes:
        wait_for(f"{name} to miss it", lambda name=name: "database" in ringback.ready(name))
        assert ringback.metrics(name)["ringback_database_connected"] == 0
    meanwhile = ringback.publisher.publish_many(
        [message(f"meanwhile_{n}") for n in range(300)], rate=75
    )
    postgres.start()

    assert dict(before.statuses + meanwhile.statuses) == {202: 600}
    counts = counted(ringback, receiver, before.ids + meanwhile.ids)
    assert twice(counts) <= MAX_TWICE
    assert ringback.running() == processes


def test_a_database_that_can_only_be_read_is_left_and_found_again(
    start_on_services: Starting, receiver: Receiver, postgres: Postgres
) -> None:
    """A fail-over that cuts no session looks like this: `/readyz` says so, backends do not notice,
    and nothing has to be restarted.
    """
    ringback = subscribed(start_on_services(), receiver)
    processes = ringback.running()

    with postgres.read_only():
        for name in processes:
            wait_for(
                f"{name} to miss it",
                lambda name=name: "can only be read" in ringback.ready(name).get("database", ""),
            )
            assert ringback.metrics(name)["ringback_database_connected"] == 0
        with Client(ringback.ports["api"], None) as client:
            assert client.call("GET", "/readyz").status == 200, "the broker makes events durable"
        with Client(ringback.ports["dispatch-0"], None) as client:
            assert client.call("GET", "/readyz").status == 503
        meanwhile = ringback.publisher.publish_many([message(n) for n in range(50)])

    assert dict(meanwhile.statuses) == {202: 50}
    counts = counted(ringback, receiver, meanwhile.ids)
    assert twice(counts) == 0
    wait_for("all to be ready", lambda: not any(ringback.ready(name) for name in processes))
    assert ringback.running() == processes


def test_a_dispatcher_that_stops_is_not_ready(
    start_on_services: Starting, receiver: Receiver
) -> None:
    """It answers until what is in flight has ended."""
    ringback = subscribed(start_on_services(), receiver, "/slow/3000/crm")
    ringback.publisher.publish_many([message(1)])
    receiver.wait_for("/slow/3000/crm", 1)

    ringback.processes["dispatch-0"].terminate()

    wait_for(
        "it to say so", lambda: ringback.ready("dispatch-0") == {"process": "it is stopping"}, 3
    )
    assert ringback.processes["dispatch-0"].wait(20) == 0


def test_a_second_process_on_the_same_database_says_so(start_embedded: Starting) -> None:
    """Two would void each other's leases. The first is not disturbed."""
    ringback = start_embedded()

    said = ringback.run("serve", status=1)

    assert re.fullmatch(r"ringback: another `ringback serve` uses \S+ringback\.db: .+\n", said)
    assert ringback.running() == {"serve"}
    assert ringback.ready("serve") == {}


def test_a_test_that_no_dispatcher_takes_is_answered(
    start_on_services: Starting, receiver: Receiver
) -> None:
    """503 with a problem of its own, and no callback is called later, when the client does not wait
    any more.
    """
    ringback = start_on_services(dispatchers=0, TIMEOUT="1s", CONNECT_TIMEOUT="1s")
    token = ringback.token("crm", callbacks={MESSAGE: receiver.url(PATH)}, wait=False)
    test = f"/v1/tokens/{token['id']}/callbacks/{MESSAGE}/test"

    answer = ringback.admin.call("POST", test)

    assert (answer.status, answer.data["type"]) == (503, "/docs/problems/no-dispatcher")
    ringback.start("dispatch-0")
    ringback.admin.send("POST", test)
    assert len(receiver.requests(PATH)) == 1


def test_an_event_that_the_database_refuses_costs_only_itself(
    start: Starting, receiver: Receiver
) -> None:
    """It comes in a batch with others, is found among them, and becomes a dead letter."""
    ringback = subscribed(start(), receiver)
    refuse(ringback, "evt_refused")
    neighbours = [f"evt_{n}" for n in range(20)]
    events = [
        message(n, id=event_id)
        for n, event_id in enumerate([*neighbours[:10], "evt_refused", *neighbours[10:]])
    ]

    ringback.publisher.send("POST", "/v1/events/batch", {"events": events})

    counts = counted(ringback, receiver, neighbours)
    assert "evt_refused" not in counts
    assert twice(counts) == 0
    name = ringback.dispatchers[0]
    wait_for("it to be a dead letter", lambda: ringback.metrics(name)["ringback_dead_letters"] == 1)
    assert "the database refuses this" in ringback.log(name)
    assert deliveries_of(ringback.admin, "evt_refused") == []


def subscribed(ringback: Ringback, receiver: Receiver, path: str = PATH) -> Ringback:
    ringback.token("crm", callbacks={MESSAGE: receiver.url(path)})
    return ringback


def counted(
    ringback: Ringback, receiver: Receiver, ids: list[str], path: str = PATH
) -> Counter[str]:
    """How often each event came, once all of these have and nothing is left that could
    come again.
    """
    wait_for_all(receiver, path, ids)
    open_ones = "/v1/deliveries?state=pending&limit=10"
    wait_for("nothing to be open", lambda: not ringback.admin.get(open_ones)["data"], limit_s=40)
    return ids_at(receiver, path)


def twice(counts: Counter[str]) -> int:
    """Webhooks too many."""
    return counts.total() - len(counts)


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def refuse(ringback: Ringback, event_id: str) -> None:
    """From now on its row breaks a rule of the database."""
    database = Database(ringback.database_url)
    abort = (
        f"CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.id = '{event_id}' BEGIN "
        "SELECT RAISE(ABORT, 'refused'); END"
    )
    check = f"ALTER TABLE events ADD CONSTRAINT refuse CHECK (id <> '{event_id}')"
    with database.write() as connection:
        connection.execute(sa.text(check if database.dialect == "postgresql" else abort))
    database.close()
