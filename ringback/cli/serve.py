"""`ringback serve`: API, pages and dispatcher in one process. `make run` adds `--quickstart`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ringback.cli.commands import Command
from ringback.cli.early_signals import leave_on_signals
from ringback.cli.invocation import Invocation

if TYPE_CHECKING:  # importing the parts takes longer than a command may take to refuse an option
    from ringback.parts import Parts


@click.command(cls=Command)
@click.option(
    "--quickstart",
    is_flag=True,
    help="Also create a token to try things out, and print commands to paste. Callbacks may use "
    "127.0.0.1.",
)
@click.pass_obj
def command(invocation: Invocation, quickstart: bool) -> None:
    """Start everything in one process: API, pages and dispatcher.

    Without RINGBACK_BROKER_URL it needs no other service: events wait in the database. Ctrl-C
    finishes what is in flight, then stops.
    """
    leave_on_signals()
    from ringback import quickstart as first_steps
    from ringback.first_sign_in import first_address
    from ringback.processes.serve import serve

    settings = first_steps.with_loopback(invocation.settings) if quickstart else invocation.settings
    commands: list[str] = []

    def announce(parts: "Parts") -> None:
        if not quickstart:
            click.echo(f"Ringback runs on {settings.public_url.rstrip('/')}/")
            return
        prepared = first_steps.prepare(parts)
        commands.extend(first_steps.commands(parts, prepared))
        if prepared.note:
            click.echo(f"\n{prepared.note}")
        address = first_address(parts)
        _show(address.url, commands, signs_in=address.signs_in)

    serve(settings, announce, lambda: commands)


def _show(address: str, commands: Sequence[str], *, signs_in: bool) -> None:
    """Print each on its own line, so that it can be pasted."""
    listen, publish = commands
    how = "Open this in a browser: it signs you in, once." if signs_in else "Its pages are here:"
    click.echo(f"\nRingback runs. {how}\n\n{address}\n")
    click.echo(f"See webhooks arrive, in a second terminal:\n\n{listen}\n")
    click.echo(f"Publish an event, in a third:\n\n{publish}\n")
    click.echo("Every attempt is logged below. Ctrl-C stops.\n")
