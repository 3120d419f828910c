"""The classes of every command and group: they accept each option once, unless it is repeatable.

Click itself silently uses the last one: of two tokens that a user names, one would be left out.
Called by every module in `ringback.cli`.
"""

import click


def _require_once(command: click.Command, context: click.Context, arguments: list[str]) -> None:
    """Raise click.UsageError for an option that is repeated although it is not repeatable."""
    # Click returns the parameters in the order in which they came, each as often as it came.
    _, _, given = command.make_parser(context).parse_args(args=[*arguments])
    options = [parameter for parameter in given if isinstance(parameter, click.Option)]
    # --help and --version answer instead of the command.
    if any(option.is_eager for option in options):
        return
    for option in options:
        if not option.multiple and options.count(option) > 1:
            raise click.BadParameter(
                "it is given more than once, and only one would count: give it once",
                context,
                option,
            )


class Command(click.Command):
    """A command that does something."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments. Raises click.UsageError for a repeated option."""
        _require_once(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A command that has subcommands."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments. Raises click.UsageError for a repeated option."""
        _require_once(self, ctx, args)
        return super().parse_args(ctx, args)
