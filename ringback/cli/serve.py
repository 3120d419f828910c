"""`ringback serve`: API and dispatcher in one process. `make run` adds `--quickstart`."""

import click

from ringback.cli.commands import Command
from ringback.cli.early_signals import leave_on_signals
from ringback.cli.invocation import Invocation


@click.command(cls=Command)
@click.option(
    "--quickstart",
    is_flag=True,
    help="Also create a token to try things out, and print commands to paste. Callbacks may use "
    "127.0.0.1.",
)
@click.pass_obj
def command(invocation: Invocation, quickstart: bool) -> None:
    """Start everything in one process: API and dispatcher.

    Without RINGBACK_BROKER_URL it needs no other service: events wait in the database. Ctrl-C
    finishes what is in flight, then stops.
    """
    leave_on_signals()
    from ringback import quickstart as first_steps
    from ringback.parts import Parts
    from ringback.processes.serve import serve

    settings = first_steps.with_loopback(invocation.settings) if quickstart else invocation.settings

    def announce(parts: Parts) -> None:
        if quickstart:
            prepared = first_steps.prepare(parts)
            if prepared.note:
                click.echo(f"\n{prepared.note}")
            _show(first_steps.lines(parts, prepared))
        else:
            click.echo(f"Ringback runs on http://{settings.listen.reachable()}/docs")

    serve(settings, announce)


def _show(lines: list[str]) -> None:
    """Print each command on its own line, so that it can be pasted."""
    address, listen, publish = lines
    click.echo(f"\nRingback runs. Its API is described here:\n\n{address}\n")
    click.echo(f"See webhooks arrive, in a second terminal:\n\n{listen}\n")
    click.echo(f"Publish an event, in a third:\n\n{publish}\n")
    click.echo("Every attempt is logged below. Ctrl-C stops.\n")
