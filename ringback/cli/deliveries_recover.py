"""`ringback deliveries recover`: ask for a recovery, and follow it to its end. The dispatchers do
the work.
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

_LOOK_EVERY_S = 0.2
_PATIENCE_S = 5.0
"""Without a step forward, before somebody is told that nobody may be working."""


@click.command(cls=Command)
@click.option(
    "--since", type=TIME, required=True, help="Made then or later, such as 2026-12-01T00:00:00Z."
)
@click.option("--until", type=TIME, help="Made before. Default: now.")
@click.option(
    "--token", metavar="ID", type=TEXT, help="Only of this token. Default: of every token."
)
@click.option(
    "--type", "kind", type=EVENT_TYPE, help="Only of this event type. Default: of every type."
)
@click.option(
    "--state",
    "states",
    type=one_of(Recoverable),
    multiple=True,
    help="exhausted (default), held, or missing: events nobody was sent.",
)
@as_json
@click.pass_obj
def recover(
    invocation: Invocation,
    since: UnixMs,
    until: UnixMs | None,
    token: str | None,
    kind: EventType | None,
    states: tuple[Recoverable, ...],
    as_json: bool,
) -> None:
    """Send again what was not delivered.

    The dispatchers work on it; this command waits for its end. Ctrl-C stops it: what was made due
    until then is sent, the rest stays as it was.
    """
    if until is not None and until <= since:
        raise click.BadParameter("is not after --since", param_hint="--until")
    chosen = tuple(state for state in Recoverable if state in (states or (Recoverable.EXHAUSTED,)))
    query = RecoveryQuery(
        since, LATEST if until is None else until, chosen, TokenId(token) if token else None, kind
    )
    with opened(invocation.settings) as database:
        ended = _followed(database, jobs.create(database, query))
    if as_json:
        print_json(recovery_answer(ended))
    else:
        click.echo(f"{ended.id}: {_told(ended)}")
    if ended.state is RecoveryState.CANCELLED:
        raise RingbackError("the recovery was stopped: the rest stays as it was")


def _followed(database: Database, recovery: Recovery) -> Recovery:
    """The recovery when it has ended; stopped, when this command is interrupted."""
    with progress("recovering", recovery.total) as bar:
        try:
            return _end(database, recovery, bar)
        except KeyboardInterrupt:
            return jobs.stop(database, recovery.id)


def _end(database: Database, recovery: Recovery, bar: Bar) -> Recovery:
    moved_s: float | None = time.monotonic()
    while recovery.state is RecoveryState.RUNNING:
        time.sleep(_LOOK_EVERY_S)
        with database.read() as connection:
            found = jobs.get(connection, recovery.id)
        bar.show(found.done + found.skipped, found.total)
        if found.trouble and found.trouble != recovery.trouble:
            click.echo(
                f"ringback: a step failed and is tried again in smaller ones: {found.trouble}",
                err=True,
            )
        if found != recovery:
            moved_s = None
        elif moved_s is not None and time.monotonic() - moved_s > _PATIENCE_S:
            click.echo(
                "ringback: nobody has begun yet: is a dispatcher running? Ctrl-C stops the recovery",
                err=True,
            )
            moved_s = None
        recovery = found
    return recovery


def _told(recovery: Recovery) -> str:
    if not recovery.skipped:
        return f"{recovery.done} made due again"
    return f"{recovery.done} made due again, {recovery.skipped} skipped: they cannot be sent now"
