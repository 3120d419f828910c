"""Styles, scripts and pictures: read once, served under addresses that change with their content,
so that browsers may keep them for ever and never show an old one after an upgrade.
"""

import gzip
import hashlib
import mimetypes
from functools import cache
from importlib.resources import files
from typing import NamedTuple

FOR_EVER = "public, max-age=31536000, immutable"


class StaticFile(NamedTuple):
    """A file, as it is sent."""

    address: str
    content: bytes
    gzipped: bytes
    content_type: str


def address(name: str) -> str:
    """Return the address of a file, such as `ringback.css`. Raises KeyError if there is none."""
    return _by_name()[name].address


def at(digest: str, name: str) -> StaticFile | None:
    """Return the file at an address; None if it has another content now, or never was."""
    found = _by_name().get(name)
    return found if found and found.address == _address(digest, name) else None


def names() -> list[str]:
    """Return the names of all files."""
    return list(_by_name())


@cache
def _by_name() -> dict[str, StaticFile]:
    folder = files("dashboard") / "static"
    found = {}
    for prefix, room in (("", folder), ("vendor/", folder / "vendor")):
        for file in room.iterdir():
            if file.is_file() and file.name.endswith((".css", ".js", ".svg")):
                name, content = prefix + file.name, file.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:16]
                kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                found[name] = StaticFile(
                    _address(digest, name),
                    content,
                    gzip.compress(content, mtime=0),
                    kind + "; charset=utf-8",
                )
    return found


def _address(digest: str, name: str) -> str:
    return f"/static/{digest}/{name}"
