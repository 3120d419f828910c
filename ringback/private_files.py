"""The files of embedded mode, which hold message texts and keys: only the user who runs Ringback
may read them.

An existing file keeps the mode that its owner gave it. Called before the database, or the key in
its folder, is first opened.
"""

import os
from pathlib import Path

from schemas.errors import UsageError


def make_folder(path: Path) -> None:
    """Create a folder, and with the usual mode those above it. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_database_file(path: Path | None) -> None:
    """Create an empty database file and its folder. SQLite gives its other files the same mode.
    None means a database that is not a file.

    Raises UsageError.
    """
    if path is None or path.exists():
        return
    try:
        make_folder(path.parent)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise UsageError(f"RINGBACK_DATABASE_URL: cannot create {path}: {error.strerror}") from None
