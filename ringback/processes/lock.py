"""The lock of embedded mode: one process per database. The process that holds it may void leases,
as no other process can hold any.
"""

import fcntl
from pathlib import Path
from typing import IO

from schemas.errors import RingbackError


class AlreadyRunning(RingbackError):
    """Another process serves this database."""


def acquire(database_file: Path) -> IO[str]:
    """Acquire the lock until the file is closed or the process ends. Raises AlreadyRunning."""
    file = database_file.with_name(database_file.name + ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AlreadyRunning(
            f"another `ringback serve` uses {database_file}: stop it, or set another "
            "RINGBACK_DATABASE_URL"
        ) from None
    return file
