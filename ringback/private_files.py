"""The files of embedded mode hold message texts and keys: they are made for the user who runs
Ringback, and nobody else.

What is there already keeps the mode that its owner gave it. Called before the database, or a key
beside it, is first opened.
"""

import os
from pathlib import Path

from schemas.errors import UsageError


def make_folder(path: Path) -> None:
    """With those above it, which are made as usual. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_database_file(path: Path | None) -> None:
    """An empty file, and its folder; SQLite gives the files that it puts beside it the same mode.
    None: no database of ours.

    Raises UsageError.
    """
    if path is None or path.exists():
        return
    try:
        make_folder(path.parent)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise UsageError(
            f"RINGBACK_DATABASE_URL: {path} cannot be made: {error.strerror}"
        ) from None
