"""What every subcommand is given, and how its failure is printed. Imports nothing heavy, as
`listen` needs no settings.
"""

import io
import os
import re
import sys
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from schemas.errors import Problem, RingbackError, UsageError

if TYPE_CHECKING:  # reading them takes pydantic, a quarter of a second
    from ringback.settings import Settings

_TOKEN = "RINGBACK_TOKEN"
_VISIBLE = re.compile("[!-~]+")  # what a header of HTTP may hold, which is where a token goes


class Invocation:
    """One call of `ringback`: its settings and its token, read when they are needed."""

    def __init__(self, env_file: Path | None):
        self._env_file = env_file

    @cached_property
    def settings(self) -> "Settings":
        """The settings, read once. Prints names that look like settings and are not read. Raises
        UsageError.
        """
        from ringback.settings import load, not_read

        settings = load(self._env_file)
        for line in not_read(self._env_file):
            click.echo(f"ringback: {line}", err=True)
        return settings

    @property
    def token(self) -> str:
        """The token that `emit` sends to the API, from the environment or the env file. Raises
        UsageError, which never shows it.
        """
        from ringback.env_file import env_file, env_file_values

        written = (
            os.environ[_TOKEN]
            if _TOKEN in os.environ
            else env_file_values(env_file(self._env_file)).get(_TOKEN)
        )
        token = (written or "").strip()  # `echo … | base64` puts a line's end into a Secret
        if not token:
            wrong = "not set" if written is None else "empty"
            raise UsageError(
                f"{_TOKEN} is {wrong}: set it, in the environment or in ringback.env, to a token "
                "with the permission events:publish"
            )
        if not _VISIBLE.fullmatch(token):
            raise UsageError(
                f"{_TOKEN} contains a blank or a character that is not ASCII, as no token does: "
                "copy it as it was shown, rbk_…"
            )
        return token


class Refused(click.ClickException):
    """An error of Ringback, printed as one line on standard error. Exit status 1."""

    def __init__(self, error: RingbackError):
        super().__init__(" ".join(_text(error).split()))

    def show(self, file: IO[str] | None = None) -> None:
        """Print the line."""
        click.echo(f"ringback: {self.message}", file=file, err=file is None)


class WrongSettings(Refused):
    """An error that remains until a setting or an argument is changed. Exit status 2."""

    exit_code = 2


def replace_unprintable() -> None:
    """Replace characters that the encoding of standard output lacks. The terminal's locale may not
    be UTF-8, and a name must not end a command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def refused(error: RingbackError) -> Refused:
    """Return click's exception for an error, with its exit status."""
    return WrongSettings(error) if isinstance(error, UsageError) else Refused(error)


def _text(error: RingbackError) -> str:
    """Return what is wrong: a problem's faults, as its detail only says that there are some."""
    if isinstance(error, Problem) and error.faults:
        return "; ".join(fault.detail for fault in error.faults)
    return str(error)
