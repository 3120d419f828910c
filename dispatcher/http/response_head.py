"""The head of an answer, in the lines that libcurl hands on: interim answers before it, trailers
behind it. Pure; used by `transfer`.
"""

from collections.abc import Sequence

_BLANK = (b"\r\n", b"\n")


def is_whole(lines: Sequence[bytes]) -> bool:
    """Whether the head of the final answer ended with its blank line. Only asked once its status is
    known: 200 or more.
    """
    return bool(lines) and (lines[-1] in _BLANK or _ends_at(lines) is not None)


def field(lines: Sequence[bytes], name: bytes) -> str | None:
    """A header of the final answer. Those of interim answers (1xx) say nothing about it, and
    trailers are none.
    """
    for line in reversed(lines[: _ends_at(lines)]):
        if _is_status_line(line):
            return None
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return None


def _ends_at(lines: Sequence[bytes]) -> int | None:
    """Where the blank line of the final answer stands. None: it did not come."""
    is_interim = False
    for number, line in enumerate(lines):
        if _is_status_line(line):
            is_interim = line.partition(b" ")[2].lstrip().startswith(b"1")
        elif line in _BLANK and not is_interim:
            return number
    return None


def _is_status_line(line: bytes) -> bool:
    return line[:5].upper() == b"HTTP/"
