"""The head of a response, in the lines that libcurl passes on: interim responses come before it,
trailers after it. Pure; used by `transfer`.
"""

from collections.abc import Sequence

_BLANK = (b"\r\n", b"\n")


def is_whole(lines: Sequence[bytes]) -> bool:
    """Return whether the head of the final response ended with its blank line. Call it only when
    the status is known to be 200 or more.
    """
    return bool(lines) and (lines[-1] in _BLANK or _ends_at(lines) is not None)


def field(lines: Sequence[bytes], name: bytes) -> str | None:
    """Return a header of the final response, or None. Headers of interim responses (1xx) and
    trailers do not count.
    """
    for line in reversed(lines[: _ends_at(lines)]):
        if _is_status_line(line):
            return None
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return None


def _ends_at(lines: Sequence[bytes]) -> int | None:
    """Return the index of the blank line of the final response; None when it did not come."""
    is_interim = False
    for number, line in enumerate(lines):
        if _is_status_line(line):
            is_interim = line.partition(b" ")[2].lstrip().startswith(b"1")
        elif line in _BLANK and not is_interim:
            return number
    return None


def _is_status_line(line: bytes) -> bool:
    return line[:5].upper() == b"HTTP/"
