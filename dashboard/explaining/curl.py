"""A webhook as a command for a shell (sh, bash, zsh), exact to the byte. Pure: the headers come
signed.
"""

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

INLINE_BYTES = 16 * 1024
"""Bodies up to this size are part of the command. Larger: commands that no one can look through, and
pages that are slow. Smaller: more bodies have to be downloaded first.
"""


@dataclass(frozen=True, slots=True)
class CurlCommand:
    """A command, and what it needs."""

    text: str
    file: str | None = None
    """The name of the file with the body, which the command reads from the current folder; None: the
    command has the body in it.
    """


def curl_command(url: str, headers: Mapping[str, str], body: bytes, file_name: str) -> CurlCommand:
    """Return the command that sends a body. What a terminal could change goes as base64."""
    if len(body) > INLINE_BYTES:
        return CurlCommand(_curl(url, headers, f"@{file_name}"), file_name)
    if (text := _printable(body)) is not None:
        source = f"printf '%s' {shlex.quote(text)}"
    else:
        source = f"printf '%s' {base64.b64encode(body).decode()} | base64 -d"
    return CurlCommand(f"{source} |\n{_curl(url, headers, '@-')}")


def _curl(url: str, headers: Mapping[str, str], data: str) -> str:
    lines = [f"curl --silent --show-error --include --globoff {shlex.quote(url)}"]
    lines += [f"-H {shlex.quote(_header(name, value))}" for name, value in headers.items()]
    lines.append(f"--data-binary {shlex.quote(data)}")
    return " \\\n  ".join(lines)


def _header(name: str, value: str) -> str:
    """Return a header as curl takes it: with a colon and no value it would send none."""
    return f"{name}: {value}" if value else f"{name};"


def _printable(body: bytes) -> str | None:
    """Return the body as a text that survives being pasted; None for any other."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if all(line.isprintable() for line in text.split("\n")) else None
