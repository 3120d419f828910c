"""The secret keys of a process: those that are set, else the one that embedded mode makes and keeps
beside its database. The file may hold several, spelled as in the setting: so they are rotated there
too.

Called by whoever opens a vault. Losing the file means that stored signing secrets cannot be read
again: it belongs into the backup, but not beside the database's.
"""

import contextlib
import os
import secrets
from pathlib import Path

from ringback.private_files import make_folder
from ringback.settings import Settings
from schemas.errors import UsageError

FILE_NAME = "secret-key"


def secret_keys(settings: Settings) -> tuple[str, ...]:
    """Oldest first. Makes `var/` and the key when embedded mode first asks. Raises UsageError when
    it can do neither.
    """
    if settings.secret_key:
        return settings.secret_key
    path = _path(settings)
    try:
        make_folder(path.parent)
        return tuple(key.strip() for key in _kept(path).split(","))
    except OSError as error:
        raise UsageError(
            f"RINGBACK_SECRET_KEY is not set, and {path} cannot be kept: {error.strerror}"
        ) from None


def _path(settings: Settings) -> Path:
    assert settings.sqlite_path is not None, "settings without a key are embedded"
    return settings.sqlite_path.with_name(FILE_NAME)


def _kept(path: Path) -> str:
    """Two processes that start together agree: the link is made whole or not at all, and only one
    makes it.
    """
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text().strip()
