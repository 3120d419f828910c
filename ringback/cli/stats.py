"""`ringback stats …`: the figures of traffic that the pages and `GET /v1/stats` show."""

import datetime as dt

import click

from ringback.cli.commands import Command, Group
from ringback.cli.database_access import opened
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json
from ringback.cli.parameter_types import TIME, as_json
from ringback.cli.progress import progress
from schemas.times import UnixMs, to_rfc3339
from store.maintenance import figure_rebuild
from store.maintenance.figure_rebuild import Progress

_MS = dt.timedelta(milliseconds=1)


@click.group(cls=Group)
def command() -> None:
    """Maintain the figures of traffic, which the dispatchers keep by minute and hour."""


@command.command(cls=Command)
@click.option(
    "--since",
    type=TIME,
    required=True,
    help="Rebuild from the hour of this time on, such as 2026-12-01T00:00:00Z.",
)
@as_json
@click.pass_obj
def rebuild(invocation: Invocation, since: UnixMs, as_json: bool) -> None:
    """Count attempts and events again, up to the last hour that ended a while ago.

    Run it after an upgrade from a release without figures, or when a crash has lost some. It may
    run while other processes run. If it is interrupted, run it again.

    Hours from before RINGBACK_RETENTION stay as they are, and so do the counts of deliveries that
    ended without success.
    """
    kept_for_ms = invocation.settings.retention // _MS
    with opened(invocation.settings) as database, progress("rebuilding", 0) as bar:
        for done in figure_rebuild.rebuild(database, since, kept_for_ms):
            bar.show(done.read, 0)
    if as_json:
        print_json(_facts(done))
    elif not done.hours:
        click.echo("nothing to rebuild: no hour since then has ended, or its attempts are deleted")
    else:
        print_facts({name: str(value) for name, value in _facts(done).items()})


def _facts(done: Progress) -> dict[str, str | int | None]:
    """Return what was rebuilt; `since` and `until` are null when nothing was."""
    return {
        "since": to_rfc3339(done.since) if done.hours else None,
        "until": to_rfc3339(done.until) if done.hours else None,
        "hours": done.hours,
        "events": done.events,
        "attempts": done.attempts,
    }
