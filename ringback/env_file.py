"""The env file: settings, and `emit`'s token, as `NAME=VALUE` lines. Read whole or refused: a line
that is passed over is a setting that silently keeps its default. Never shows a value.

Called by `ringback.settings`, and by the command line for the token, which is no setting.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from schemas.errors import UsageError

DEFAULT_ENV_FILE = Path("ringback.env")


class _Line(NamedTuple):
    """Where a name stands, counted from 1, and what it is given there."""

    number: int
    value: str


def env_file(named: Path | None) -> Path:
    """The one that is named, which must exist, else `ringback.env`, which need not. Raises
    UsageError.
    """
    try:
        if named is not None and not named.is_file():
            raise UsageError(f"--env-file {named}: there is no such file")
    except OSError as error:  # a folder that may not be looked into
        raise UsageError(f"--env-file {named} cannot be read: {error.strerror}") from None
    return named or DEFAULT_ENV_FILE


def env_file_values(path: Path) -> dict[str, str | None]:
    """By name; nothing when there is no such file. Raises UsageError, which names the line that
    cannot be read.
    """
    text = _text(path)
    seen: dict[str, _Line] = {}
    for name, line in _lines(path, text):
        before = seen.setdefault(name.upper(), line)  # settings are found in either case
        if before.value != line.value:
            raise UsageError(
                f"{path}: {name} is given twice, in line {before.number} and in line {line.number}: take one away"
            )
    return dict(dotenv_values(stream=io.StringIO(text)))


def _lines(path: Path, text: str) -> Iterator[tuple[str, _Line]]:
    for found in parse_stream(io.StringIO(text)):
        if found.error or (found.key is not None and found.value is None):
            raise UsageError(
                f"{path}: line {_number(found)} is not read: write NAME=VALUE, and a # before what is no setting"
            )
        if found.key is not None and found.value is not None:
            yield found.key, _Line(_number(found), found.value)


def _number(found: Binding) -> int:
    """Python-dotenv counts empty lines before a line to it."""
    whole = found.original.string
    return found.original.line + len(whole[: len(whole) - len(whole.lstrip())].splitlines())


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # every second byte of UTF-16, when it has no mark at its beginning
        raise UsageError(
            f"{path} is not in UTF-8: save it anew in that encoding (PowerShell's > writes UTF-16)"
        )
    return text
