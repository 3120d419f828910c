"""`ringback serve`: API, pages and dispatcher in one process. `make run` adds `--quickstart`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ringback.cli.commands import Command
from ringback.cli.early_signals import leave_on_signals
from ringback.cli.invocation import Invocation

if TYPE_CHECKING:  # importing them takes longer than a command may take to refuse an option
    from ringback.parts import Parts
    from ringback.settings import Settings


@click.command(cls=Command)
@click.option(
    "--quickstart",
    is_flag=True,
    help="Also create a token to try things out, and print commands to paste. Callbacks may use "
    "127.0.0.1.",
)
@click.option(
    "--demo",
    is_flag=True,
    help="Show what there is to see: suppliers, traffic and receivers that are made up, in a "
    "database of their own (var/demo.db, unless RINGBACK_DATABASE_URL is set).",
)
@click.pass_obj
def command(invocation: Invocation, quickstart: bool, demo: bool) -> None:
    """Start everything in one process: API, pages and dispatcher.

    Without RINGBACK_BROKER_URL it needs no other service: events wait in the database. Ctrl-C
    finishes what is in flight, then stops.
    """
    if quickstart and demo:
        raise click.UsageError("--quickstart and --demo exclude each other: give one of them")
    leave_on_signals()
    if demo:
        _serve_demo(invocation.settings)
    elif quickstart:
        _serve_quickstart(invocation.settings)
    else:
        _serve_plain(invocation.settings)


def _serve_plain(settings: "Settings") -> None:
    from ringback.processes.serve import serve

    address = f"{settings.public_url.rstrip('/')}/"
    serve(settings, lambda _parts: click.echo(f"Ringback runs on {address}"))


def _serve_quickstart(settings: "Settings") -> None:
    from ringback import quickstart
    from ringback.processes.serve import serve

    commands: list[str] = []

    def announce(parts: "Parts") -> None:
        prepared = quickstart.prepare(parts)
        commands.extend(quickstart.commands(parts, prepared))
        if prepared.note:
            click.echo(f"\n{prepared.note}")
        _show_address(parts)
        _show_commands(commands)

    serve(quickstart.with_loopback(settings), announce, lambda: commands)


def _serve_demo(settings: "Settings") -> None:
    from ringback.demo.running import Demo, demo_settings
    from ringback.processes.serve import serve

    demo = Demo()

    def announce(parts: "Parts") -> None:
        demo.start(parts)
        _show_address(parts)
        click.echo("Its suppliers, events and receivers are made up. Ctrl-C stops.\n")

    try:
        serve(demo_settings(settings), announce)
    finally:
        demo.close()


def _show_address(parts: "Parts") -> None:
    """Print where to begin, on a line of its own, so that it can be pasted."""
    from ringback.first_sign_in import first_address

    address = first_address(parts)
    how = (
        "Open this in a browser: it signs you in, once."
        if address.signs_in
        else "Its pages are here:"
    )
    click.echo(f"\nRingback runs. {how}\n\n{address.url}\n")


def _show_commands(commands: Sequence[str]) -> None:
    """Print each on a line of its own."""
    listen, publish = commands
    click.echo(f"See webhooks arrive, in a second terminal:\n\n{listen}\n")
    click.echo(f"Publish an event, in a third:\n\n{publish}\n")
    click.echo("Every attempt is logged below. Ctrl-C stops.\n")
