"""The command line: one module per subcommand, imported when it is called for, so that `listen` and
`--help` start at once.

Here is only what all share: the list of them, `--env-file`, and errors as one line. Exit status: 0
done, 1 failed, 2 usage.
"""

import importlib
from pathlib import Path
from typing import Any

import click

import ringback
from ringback.cli.commands import Group
from ringback.cli.invocation import Invocation, refused, replace_what_cannot_be_printed
from schemas.errors import RingbackError

COMMANDS = {
    "serve": "Start everything in one process: API and dispatcher.",
    "api": "Start the API alone, for production.",
    "dispatch": "Start a dispatcher alone, for production.",
    "migrate": "Bring the database, and the broker's queues, up to date.",
    "token": "Make, show and change API access tokens.",
    "emit": "Publish sample events through the API.",
    "listen": "Receive webhooks here, verify and print them.",
    "deliveries": "Look at deliveries, try them again, recover them.",
    "dead": "Look at messages that were no events, put them back.",
    "rekey": "Re-encrypt what is encrypted with the last secret key.",
    "export": "Write everything about all tokens into an Excel workbook.",
    "openapi": "Print the OpenAPI document.",
    "doctor": "Check settings, database, broker, clock and ports.",
}
"""Each is the attribute `command` of the module of its name."""


class Commands(Group):
    """Knows every subcommand by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ringback.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *arguments: Any, **options: Any) -> Any:
        replace_what_cannot_be_printed()
        return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RingbackError as error:
            raise refused(error) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read settings from this file too. Without it from ringback.env, where there is one.",
)
@click.version_option(ringback.__version__, prog_name="ringback")
@click.pass_context
def main(context: click.Context, env_file: Path | None) -> None:
    """Ringback delivers what happens in a chat platform to webhooks: signed, retried, measured,
    logged, never lost.

    Settings come from the environment (RINGBACK_…); `ringback doctor` shows and checks them.
    """
    context.obj = Invocation(env_file)
