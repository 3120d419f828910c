"""What every subcommand is given, and how its failure is told. Imports nothing heavy: `listen`
needs no settings.
"""

import io
import os
import re
import sys
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from schemas.errors import Problem, RingbackError, UsageError

if TYPE_CHECKING:  # reading them takes pydantic, a quarter of a second
    from ringback.settings import Settings

_TOKEN = "RINGBACK_TOKEN"
_VISIBLE = re.compile(
    "[!-~]+"
)  # ASCII: what a header of HTTP may hold, which is where a token goes


class Invocation:
    """One call of `ringback`."""

    def __init__(self, env_file: Path | None):
        self._env_file = env_file

    @cached_property
    def settings(self) -> "Settings":
        """Read when first asked for. Raises UsageError; tells of what others may mean by it, and so
        is let pass.
        """
        from ringback.settings import load, not_read

        settings = load(self._env_file)
        for line in not_read(self._env_file):
            click.echo(f"ringback: {line}", err=True)
        return settings

    @property
    def token(self) -> str:
        """What `emit` shows to the API: from where settings come, though it is none. Raises
        UsageError, which shows nothing of it.
        """
        from ringback.env_file import env_file, env_file_values

        found = (
            os.environ[_TOKEN]
            if _TOKEN in os.environ
            else env_file_values(env_file(self._env_file)).get(_TOKEN)
        )
        token = (found or "").strip()  # `echo … | base64` puts a line's end into a Secret
        if not token:
            wrong = "not set" if found is None else "empty"
            raise UsageError(
                f"{_TOKEN} is {wrong}: put a token there, or into ringback.env, that has the permission events:publish"
            )
        if not _VISIBLE.fullmatch(token):
            raise UsageError(
                f"{_TOKEN} holds a blank, or a character that is not ASCII, as no token does: put it there as it was shown, rbk_…"
            )
        return token


class Refused(click.ClickException):
    """One of our errors, as one line on standard error."""

    def __init__(self, error: RingbackError):
        super().__init__(" ".join(_told(error).split()))

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"ringback: {self.message}", file=file, err=file is None)


class WrongSettings(Refused):
    """Trying again is useless until somebody changes a setting or an argument."""

    exit_code = 2


def replace_what_cannot_be_printed() -> None:
    """Standard output may speak another encoding than UTF-8, by the terminal's locale: a name that
    does not fit must not end a command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def refused(error: RingbackError) -> Refused:
    return WrongSettings(error) if isinstance(error, UsageError) else Refused(error)


def _told(error: RingbackError) -> str:
    """A problem's faults are what is wrong; its detail only says that something is."""
    if isinstance(error, Problem) and error.faults:
        return "; ".join(fault.detail for fault in error.faults)
    return str(error)
