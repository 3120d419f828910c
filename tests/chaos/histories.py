"""Scenarios in which the database becomes another: the primary changes, a back-up is restored, and
all that was known is loaded again.
"""

import concurrent.futures
import contextlib
import signal
import time
from collections.abc import Callable

import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.tokens.fields import CallbackFields
from store.engine.database import Database
from store.tables import callbacks, tokens
from store.tokens import callback_health
from tests.chaos.outages import judge_answers
from tests.chaos.reports import Report
from tests.chaos.world import Nodes, World
from tests.kit.client import Client
from tests.kit.platform import MESSAGE, message
from tests.kit.standby import Standby
from tests.kit.tokens import token_fields
from tests.kit.waiting import wait_for

GOES_ON_S = 10.0
"""Promised: so long after there is a primary again writes go on."""

RESTORED_S = 2.0
"""Promised: so long after a restore everything is as the database has it."""

TOKENS = 1_200
"""More than the directory reads at once, so that a page of it ends among those that changed
together.
"""

TOGETHER = 300
"""So many of them change in one settlement, and share a version."""

_SCHEDULE = ",".join(["1s"] * 60)
_STEADY_S = 2.0


def fail_over(nodes: Nodes, *, full: bool) -> Report:
    """The primary becomes read-only and the address leads to a standby; sessions are not cut. The
    standby is promoted, and in full the same happens once more, back to a server that follows it.
    """
    report, node = Report(), nodes.postgres
    with (
        World(nodes, dispatchers=2, workers=2, RETRY_SCHEDULE=_SCHEDULE) as world,
        contextlib.ExitStack() as stack,
    ):
        with world.load(world.subscribe(["/ok/a", "/ok/b", "/flaky/10/c"]), 40.0) as load:
            for turn in ("there", "back") if full else ("there",):
                standby = stack.enter_context(contextlib.closing(Standby(node, fsync=full)))
                time.sleep(_STEADY_S)
                stack.enter_context(node.read_only())
                world.store.lead_to(standby.port)
                standby.catch_up()
                said_s = _timed(
                    lambda: all(
                        "database" in world.ringback.ready(name)
                        for name in world.ringback.processes
                    )
                )
                time.sleep(_STEADY_S)
                standby.promote()
                goes_on_s = _timed(lambda: _writes_go_on(world))
                report.note(
                    **{
                        f"readyz_said_so_after_s_({turn})": said_s,
                        f"writes_go_on_after_s_({turn})": goes_on_s,
                    }
                )
                report.demand(f"writes go on within 10 s ({turn})", held=goes_on_s <= GOES_ON_S)
                node = standby
            time.sleep(_STEADY_S)
        report.count(world.settle(load))
        judge_answers(report, load, full=full)
        report.demand(
            "no process ends", held=world.ringback.running() == {"api", "dispatch-0", "dispatch-1"}
        )
    return report


def _writes_go_on(world: World) -> bool:
    answer = world.ringback.admin.call(
        "POST", "/v1/tokens", {"name": "afterwards", "permissions": []}
    )
    return answer.status == 201 and not any(
        world.ringback.ready(name) for name in world.ringback.processes
    )


def restore(nodes: Nodes, *, full: bool) -> Report:
    """A back-up of five minutes ago (briefly: of just now) is restored under running processes."""
    report = Report()
    with World(nodes, dispatchers=2, workers=2, direct=True, RETRY_SCHEDULE=_SCHEDULE) as world:
        _restored(world, report, 300.0 if full else 1.0)
    return report


def _restored(world: World, report: Report, age_s: float) -> None:
    """One token is revoked before the back-up, one after it, and one is made after it."""
    ringback, postgres = world.ringback, world.nodes.postgres
    stays, lives, lost = ("stays revoked", "lives again", "was made afterwards")
    tokens = {
        name: ringback.token(
            name, callbacks={MESSAGE: world.receiver.url(f"/ok/{name.split()[0]}")}, wait=False
        )
        for name in (stays, lives)
    }
    ringback.admin.call("DELETE", f"/v1/tokens/{tokens[stays]['id']}")
    backup = postgres.dump(ringback.database_url)
    time.sleep(age_s)
    ringback.admin.call("DELETE", f"/v1/tokens/{tokens[lives]['id']}")
    tokens[lost] = ringback.token(
        lost, callbacks={MESSAGE: world.receiver.url(f"/ok/{lost.split(maxsplit=1)[0]}")}
    )
    wanted = {stays: 401, lives: 200, lost: 401}
    report.demand(
        "before, it is the other way round",
        held=_statuses(ringback.port, tokens) == {stays: 401, lives: 401, lost: 200},
    )

    postgres.restore(ringback.database_url, backup)
    restored_s = time.monotonic()
    wait_for("tokens to be as they were", lambda: _statuses(ringback.port, tokens) == wanted, 30)
    took_s = time.monotonic() - restored_s
    made = ringback.token("is new", callbacks={MESSAGE: world.receiver.url("/ok/new")}, wait=False)
    time.sleep(max(0.0, RESTORED_S - (time.monotonic() - restored_s)))
    report.demand("a new token works", held=_statuses(ringback.port, {"new": made}) == {"new": 200})
    report.demand("tokens are as the database has them within 2 s", held=took_s <= RESTORED_S)
    report.note(as_the_database_has_it_after_s=took_s)
    _judge_events(world, report, {"/ok/lives", "/ok/new"})


def _judge_events(world: World, report: Report, wanted: set[str]) -> None:
    """Which callbacks an event is for, from now on."""
    began_s = time.time()
    event_id = world.ringback.publisher.publish(message("afterwards"))

    def came() -> dict[str, float]:
        return {one.path: one.at_s for one in world.receiver.arrivals() if one.event_id == event_id}

    wait_for("the event to be matched as the database has it", lambda: came().keys() >= wanted, 20)
    wait_for("nothing to be open", world.nothing_open, 20)
    report.demand(
        f"events go where they should, not to {came().keys() - wanted}",
        held=came().keys() == wanted,
    )
    report.note(event_came_after_s=max(came().values()) - began_s)


def _statuses(port: int, tokens: dict[str, dict[str, str]]) -> dict[str, int]:
    """How each is answered."""
    found = {}
    for name, token in tokens.items():
        with Client(port, token["token"]) as client:
            found[name] = client.call("GET", "/v1/me").status
    return found


def crowd(nodes: Nodes, *, full: bool) -> Report:
    """A receiver that 1,200 tokens share dies, and 300 of them are found failing in one settlement;
    every process is restarted; it comes back. In full events wait for it, and every process is
    restarted once more while they are delivered.
    """
    report, channel = Report(), "chn_crowd"
    with World(nodes, direct=True, RETRY_SCHEDULE=",".join(["20s"] * 60)) as world:
        world.receiver.switch("shared", 500)
        secrets = _made(world, channel)
        events = [
            world.ringback.publisher.publish(message(number, channel=channel))
            for number in range(2 if full else 0)
        ]
        wait_for(
            "attempts at all of them",
            lambda: len({one.path for one in world.receiver.arrivals()}) >= TOKENS or not events,
            600,
        )
        _find_failing(world)
        _restart(world)
        _judge_crowd(world, report, secrets)
        world.receiver.switch("shared", 200)
        events.append(world.ringback.publisher.publish(message("after", channel=channel)))
        if full:
            _restart(world)
            _judge_crowd(world, report, secrets)
        wanted = {
            (f"/switch/shared/{number}", event_id)
            for number in range(TOKENS)
            for event_id in events
        }
        with contextlib.suppress(AssertionError):  # the count says how far it came
            wait_for("all deliveries", lambda: wanted <= _taken(world), 900 if full else 150)
        cancelled = world.ringback.admin.get("/v1/deliveries?state=cancelled&limit=100")["data"]
        missing = len(wanted - _taken(world))
    report.note(
        tokens=TOKENS,
        changed_together=TOGETHER,
        deliveries=len(wanted),
        missing=missing,
        cancelled=len(cancelled),
    )
    report.demand("nothing missing", held=missing == 0)
    report.demand("nothing cancelled", held=not cancelled)
    return report


def _find_failing(world: World) -> None:
    """What one settlement finds out of many callbacks; those lie where the first page of the
    directory ends.
    """
    with (
        contextlib.closing(Database(world.ringback.database_url)) as database,
        database.write() as connection,
    ):
        settled = (
            sa.select(callbacks.c.id)
            .join(tokens, tokens.c.id == callbacks.c.token_id)
            .where(callbacks.c.failing_since.is_(None))
        )
        chosen = connection.scalars(settled.order_by(tokens.c.version).limit(TOGETHER)).all()
        reports = [HealthReport(CallbackId(one), 0, HealthFinding.FAILING) for one in chosen]
        callback_health.record(connection, reports, database.now(connection))


def _made(world: World, channel: str) -> list[str]:
    """The secrets of the crowd."""
    fields = token_fields("supplier", channels=[channel])
    urls = (world.receiver.url(f"/switch/shared/{number}") for number in range(TOKENS))
    secrets = world.ringback.many_tokens(
        fields, [{EventType.MESSAGE_RECEIVED: CallbackFields(url)} for url in urls]
    )
    world.ringback.wait_until_in_force()
    return secrets


def _judge_crowd(world: World, report: Report, secrets: list[str]) -> None:
    """Whether all of them authenticate."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(
                lambda secret: _statuses(world.ringback.port, {"one": {"token": secret}})["one"],
                secrets,
            )
        )
    refused = sum(status != 200 for status in statuses)
    report.note(refused_after_a_restart=refused)
    report.demand("all tokens authenticate after a restart", held=refused == 0)


def _restart(world: World) -> None:
    names = list(world.ringback.processes)
    for name in names:
        world.ringback.stop(
            name, signal.SIGTERM, 120
        )  # how long that takes on a busy machine is not what this is about
    world.ringback.start(*names)


def _taken(world: World) -> set[tuple[str, str]]:
    return {(one.path, one.event_id) for one in world.receiver.arrivals() if one.status == 200}


def _timed(condition: Callable[[], object]) -> float:
    began_s = time.monotonic()
    wait_for("the scenario to go on", condition, 60)
    return time.monotonic() - began_s
