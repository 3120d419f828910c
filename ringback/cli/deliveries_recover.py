"""`ringback deliveries recover`: create a recovery and follow it to its end. The dispatchers do the
work.
"""

import time

import click

from api.serializers import recovery_answer
from ringback.cli.commands import Command
from ringback.cli.database_access import opened
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_json
from ringback.cli.parameter_types import EVENT_TYPE, TEXT, TIME, as_json, one_of
from ringback.cli.progress import Bar, progress
from schemas.deliveries.recoveries import Recoverable, Recovery, RecoveryQuery, RecoveryState
from schemas.errors import RingbackError
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import LATEST, UnixMs
from store.engine.database import Database
from store.recoveries import jobs

_POLL_S = 0.2
_NO_PROGRESS_AFTER_S = 5.0
"""How long nothing may happen before the user is asked whether a dispatcher is running. Longer: a
user without one waits longer. Shorter: a busy dispatcher looks like none.
"""


@click.command(cls=Command)
@click.option(
    "--since",
    type=TIME,
    required=True,
    help="Created at or after this time, such as 2026-12-01T00:00:00Z.",
)
@click.option("--until", type=TIME, help="Created before this time. Default: now.")
@click.option(
    "--token", metavar="ID", type=TEXT, help="Only deliveries of this token. Default: all tokens."
)
@click.option(
    "--type", "event_type", type=EVENT_TYPE, help="Only this event type. Default: all types."
)
@click.option(
    "--state",
    "states",
    type=one_of(Recoverable),
    multiple=True,
    help="exhausted (default), held, or missing: events that have no delivery yet.",
)
@as_json
@click.pass_obj
def recover(
    invocation: Invocation,
    since: UnixMs,
    until: UnixMs | None,
    token: str | None,
    event_type: EventType | None,
    states: tuple[Recoverable, ...],
    as_json: bool,
) -> None:
    """Send deliveries again that did not succeed.

    The dispatchers do the work; this command waits for them. Ctrl-C stops the recovery: deliveries
    that are due by then are sent, the others stay as they are.
    """
    if until is not None and until <= since:
        raise click.BadParameter("is not after --since", param_hint="--until")
    selected = tuple(
        state for state in Recoverable if state in (states or (Recoverable.EXHAUSTED,))
    )
    query = RecoveryQuery(
        since,
        LATEST if until is None else until,
        selected,
        TokenId(token) if token else None,
        event_type,
    )
    with opened(invocation.settings) as database:
        ended = _followed(database, jobs.create(database, query))
    if as_json:
        print_json(recovery_answer(ended))
    else:
        click.echo(f"{ended.id}: {_summary(ended)}")
    if ended.state is RecoveryState.CANCELLED:
        raise RingbackError("the recovery was stopped: the other deliveries stay as they were")


def _followed(database: Database, recovery: Recovery) -> Recovery:
    """Return the recovery once it has ended. An interrupt stops it."""
    with progress("recovering", recovery.total) as bar:
        try:
            return _end(database, recovery, bar)
        except KeyboardInterrupt:
            return jobs.stop(database, recovery.id)


def _end(database: Database, recovery: Recovery, bar: Bar) -> Recovery:
    moved_s: float | None = time.monotonic()
    while recovery.state is RecoveryState.RUNNING:
        time.sleep(_POLL_S)
        with database.read() as connection:
            current = jobs.get(connection, recovery.id)
        bar.show(current.done + current.skipped, current.total)
        if current.trouble and current.trouble != recovery.trouble:
            click.echo(
                f"ringback: a step failed and is retried in smaller ones: {current.trouble}",
                err=True,
            )
        if current != recovery:
            moved_s = None
        elif moved_s is not None and time.monotonic() - moved_s > _NO_PROGRESS_AFTER_S:
            click.echo(
                "ringback: no progress yet: is a dispatcher running? Ctrl-C stops the recovery",
                err=True,
            )
            moved_s = None
        recovery = current
    return recovery


def _summary(recovery: Recovery) -> str:
    if not recovery.skipped:
        return f"{recovery.done} made due again"
    return f"{recovery.done} made due again, {recovery.skipped} skipped, as they cannot be sent now"
