"""What every command is made of: one that takes each option once, unless it says that it takes
several.

Click itself lets the last of them count, without a word: of two tokens that somebody names, one
would be left out. Groups and commands of every module in `ringback.cli` are of these classes.
"""

import click


def _require_once(command: click.Command, context: click.Context, arguments: list[str]) -> None:
    """Click tells in which order the options came, each as often as it came. Raises
    click.UsageError.
    """
    _, _, found = command.make_parser(context).parse_args(args=[*arguments])
    options = [one for one in found if isinstance(one, click.Option)]
    if any(
        one.is_eager for one in options
    ):  # --help and --version, which answer instead of the command
        return
    for one in options:
        if not one.multiple and options.count(one) > 1:
            raise click.BadParameter(
                "it is given more than once, and only one would count: give it once", context, one
            )


class Command(click.Command):
    """One that does something."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _require_once(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """One that has others."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _require_once(self, ctx, args)
        return super().parse_args(ctx, args)
