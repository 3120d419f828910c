"""`ringback dispatch`: one dispatcher as a separate process."""

import click

from ringback.cli.commands import Command
from ringback.cli.database_access import require_services
from ringback.cli.early_signals import leave_on_signals
from ringback.cli.invocation import Invocation


@click.command(cls=Command)
@click.pass_obj
def command(invocation: Invocation) -> None:
    """Start a dispatcher alone, for production.

    It uses one core: start one per core, on as many hosts as needed, each with its own
    RINGBACK_METRICS_LISTEN.
    """
    leave_on_signals()
    require_services(invocation.settings)
    from ringback.processes.dispatch import dispatch

    dispatch(invocation.settings)
