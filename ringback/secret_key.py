"""The secret keys of a process: those that are set, else the key that embedded mode creates and
keeps in the folder of its database. The file may hold several, written as in the setting, so that
they can be rotated there too.

Called by all that open a vault. Without the file stored signing secrets cannot be read again: back
it up, but not together with the database.
"""

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from ringback.private_files import make_folder
from ringback.settings import Settings
from schemas.errors import UsageError

FILE_NAME = "secret-key"


def secret_keys(settings: Settings) -> tuple[str, ...]:
    """Return the keys, oldest first. The first call in embedded mode creates `var/` and the key.
    Raises UsageError when it cannot.
    """
    if settings.secret_key:
        return settings.secret_key
    path = _path(settings)
    try:
        make_folder(path.parent)
        return tuple(key.strip() for key in _kept(path).split(","))
    except OSError as error:
        raise UsageError(
            f"RINGBACK_SECRET_KEY is not set, and cannot create {path}: {error.strerror}"
        ) from None


def cookie_keys(settings: Settings) -> tuple[bytes, ...]:
    """Return the keys that sign what browsers keep, one for each secret key: a page never signs
    with a key that encrypts.
    """
    return tuple(
        hmac.digest(key.encode(), b"ringback cookies", "sha256") for key in secret_keys(settings)
    )


def _path(settings: Settings) -> Path:
    assert settings.sqlite_path is not None, "settings without a key are embedded"
    return settings.sqlite_path.with_name(FILE_NAME)


def _kept(path: Path) -> str:
    """Return the text of the file, which is created if it is missing. Processes that start together
    agree, as only one of them can create the link, and with all of its text.
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
