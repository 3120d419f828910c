"""One embedded process per database: whoever holds the lock may void leases, because nobody else
can hold any.
"""

import fcntl
from pathlib import Path
from typing import IO

from schemas.errors import RingbackError


class AlreadyRunning(RingbackError):
    """Another process serves this database."""


def take(database_file: Path) -> IO[str]:
    """Held until the file is closed, or the process ends however. Raises AlreadyRunning."""
    file = database_file.with_name(database_file.name + ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AlreadyRunning(
            f"another `ringback serve` works on {database_file}: stop it, or choose another RINGBACK_DATABASE_URL"
        ) from None
    return file
