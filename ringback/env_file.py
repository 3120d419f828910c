"""The env file: settings, and the token of `emit`, as `NAME=VALUE` lines.

It is read completely or refused, as a setting on a skipped line would silently keep its default.
Errors never show a value. Called by `ringback.settings`, and by the command line for the token,
which is not a setting.
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
    """One assignment."""

    number: int
    """Counted from 1."""
    value: str


def env_file(named: Path | None) -> Path:
    """Return the file that is named, which must exist, else `ringback.env`, which need not. Raises
    UsageError.
    """
    try:
        if named is not None and not named.is_file():
            raise UsageError(f"--env-file {named}: no such file")
    except OSError as error:  # a folder that may not be read
        raise UsageError(f"cannot read --env-file {named}: {error.strerror}") from None
    return named or DEFAULT_ENV_FILE


def env_file_values(path: Path) -> dict[str, str | None]:
    """Return the values by name, none if there is no such file. Raises UsageError, which names a
    line that cannot be read.
    """
    text = _text(path)
    seen: dict[str, _Line] = {}
    for name, line in _lines(path, text):
        before = seen.setdefault(name.upper(), line)  # settings are found in either case
        if before.value != line.value:
            raise UsageError(
                f"{path}: {name} is given twice, in line {before.number} and in line "
                f"{line.number}: remove one"
            )
    return dict(dotenv_values(stream=io.StringIO(text)))


def _lines(path: Path, text: str) -> Iterator[tuple[str, _Line]]:
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise UsageError(
                f"{path}: line {_number(binding)} is invalid: write NAME=VALUE, or a # before a "
                "comment"
            )
        if binding.key is not None and binding.value is not None:
            yield binding.key, _Line(_number(binding), binding.value)


def _number(binding: Binding) -> int:
    """Return the line's number. python-dotenv counts empty lines before a line as part of it."""
    whole = binding.original.string
    return binding.original.line + len(whole[: len(whole) - len(whole.lstrip())].splitlines())


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # every second byte of UTF-16 without a byte order mark
        raise UsageError(
            f"{path} is not in UTF-8: save it in that encoding (PowerShell's > writes UTF-16)"
        )
    return text
