"""`ringback api`: the API as a separate process, with workers."""

import click

from ringback.cli.commands import Command
from ringback.cli.database_access import require_services
from ringback.cli.early_signals import leave_on_signals
from ringback.cli.invocation import Invocation


@click.command(cls=Command)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Worker processes: at most one per core.",
)
@click.pass_obj
def command(invocation: Invocation, workers: int) -> None:
    """Start the API alone, for production.

    Also run `ringback dispatch`, once per core that may send.
    """
    leave_on_signals()
    require_services(invocation.settings)
    from ringback.processes.api import api

    api(invocation.settings, workers)
