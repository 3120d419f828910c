"""The command line: one module per subcommand, imported when it is called, so that `listen` and
`--help` start immediately.

This module holds only what all subcommands share: their list, `--env-file`, and errors as one line.
Exit status: 0 done, 1 failed, 2 usage.
"""

import importlib
from pathlib import Path
from typing import Any

import click

import ringback
from ringback.cli.commands import Group
from ringback.cli.invocation import Invocation, refused, replace_unprintable
from schemas.errors import RingbackError

COMMANDS = {
    "serve": "Start everything in one process: API and dispatcher.",
    "api": "Start the API alone, for production.",
    "dispatch": "Start a dispatcher alone, for production.",
    "migrate": "Bring the database and the broker's queues up to date.",
    "token": "Manage API access tokens.",
    "user": "Manage the people who may sign in to the pages.",
    "emit": "Publish sample events through the API.",
    "listen": "Receive webhooks, verify and print them.",
    "deliveries": "Inspect, retry and recover deliveries.",
    "dead": "Inspect, replay, or delete dead-lettered messages.",
    "stats": "Rebuild the figures of traffic.",
    "rekey": "Encrypt stored secrets again with the last secret key.",
    "export": "Export all tokens, without secrets, to an Excel workbook.",
    "openapi": "Print the OpenAPI document.",
    "doctor": "Check settings, database, broker, clock and ports.",
}
"""Help by name. Each subcommand is the attribute `command` of the module with its name."""


class Commands(Group):
    """A group that knows every subcommand by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all names, in the order of the help."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a subcommand, or return None for a name that is unknown."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ringback.cli.{cmd_name}").command
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line."""
        replace_unprintable()
        return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the subcommand. Ringback's errors become one line and an exit status."""
        try:
            return super().invoke(ctx)
        except RingbackError as error:
            raise refused(error) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also read settings from this file. Default: ringback.env, if it exists.",
)
@click.version_option(ringback.__version__, prog_name="ringback")
@click.pass_context
def main(context: click.Context, env_file: Path | None) -> None:
    """Ringback delivers the events of a chat platform to webhooks: signed, retried, measured,
    logged, never lost.

    Settings come from the environment (RINGBACK_…). `ringback doctor` shows and checks them.
    """
    context.obj = Invocation(env_file)
