"""The head of a response, in the lines that libcurl passes on: interim responses come before it,
trailers after it. Pure; used by `transfer`.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from schemas.texts import from_bytes

KEPT_CHARACTERS = 2048
"""Characters of names and values that are kept of a response's headers. Larger: attempts take more
space. Smaller: what explains a failure may be cut off.
"""

HIDDEN = "***"
"""What is kept of a value that may be a secret."""

_SECRET = re.compile(
    "cookie|token|secret|session|passw|credential|authorization|authentication-info|api-?key|csrf"
)
"""Parts of the names of headers whose values let their holder in somewhere. A challenge
(`www-authenticate`) does not.
"""

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


def kept_fields(lines: Sequence[bytes]) -> dict[str, str]:
    r"""Return the headers of the final response by name, in lower case, as they are stored.

    Those that repeat a name are joined with a comma. Values that may be secrets are hidden, bytes
    that are not UTF-8 escaped (`\xff`). What exceeds KEPT_CHARACTERS is cut off.
    """
    kept: dict[str, str] = {}
    left = KEPT_CHARACTERS
    begin, end = _bounds(lines)
    for line in lines[begin : min(end, begin + _READ_LINES)]:
        name, value = _known_line(line) if len(line) < _KNOWN_BYTES else _shown(line)
        if len(name) >= left:
            continue
        left -= len(name)
        if len(value) > left:
            value = value[:left]
        left -= len(value)
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def _shown(line: bytes) -> tuple[str, str]:
    """Return the name and the value of a line as they are stored."""
    raw_name, _, raw_value = line.partition(b":")
    name = from_bytes(raw_name.strip().lower())
    return name, HIDDEN if _SECRET.search(name) else from_bytes(raw_value.strip())


_known_line = lru_cache(1024)(_shown)
"""A receiver's headers are mostly the same in each of its responses."""

_KNOWN_BYTES = 256
"""The length from which lines are not remembered. Longer: more memory. Shorter: more is read
again.
"""


_READ_LINES = 100
"""Lines that are read to be stored. More: one receiver with thousands of them keeps the event loop
from all others. Fewer: what explains a failure may be left out.
"""


def _bounds(lines: Sequence[bytes]) -> tuple[int, int]:
    """Return where the headers of the final response begin and end."""
    end = _ends_at(lines)
    if end is None:
        end = len(lines)
    if lines.count(_BLANK[0]) <= 1 and lines and _is_status_line(lines[0]):
        return 1, end  # nearly always: no interim response
    starts = (at + 1 for at in range(end - 1, -1, -1) if _is_status_line(lines[at]))
    return next(starts, 0), end


def _ends_at(lines: Sequence[bytes]) -> int | None:
    """Return the index of the blank line of the final response; None when it did not come."""
    if lines and lines[-1] == _BLANK[0] and lines.count(_BLANK[0]) == 1:
        return len(lines) - 1  # nearly always: no interim response, no trailers
    is_interim = False
    for number, line in enumerate(lines):
        if _is_status_line(line):
            is_interim = line.partition(b" ")[2].lstrip().startswith(b"1")
        elif line in _BLANK and not is_interim:
            return number
    return None


def _is_status_line(line: bytes) -> bool:
    return line[:5].upper() == b"HTTP/"
