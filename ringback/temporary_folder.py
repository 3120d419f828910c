"""The temporary folder, in which workers of the API count and workbooks are written. A container
whose root is read-only may have none.

Called by the process `api` and by `ringback doctor`.
"""

import tempfile

from schemas.errors import RingbackError


def temporary_folder() -> str:
    """Return its path. Raises RingbackError unless it is writable."""
    try:
        with tempfile.TemporaryFile(prefix="ringback-") as file:
            file.write(b"x")
            file.flush()
        return tempfile.gettempdir()
    except OSError as error:
        raise RingbackError(
            f"no temporary folder is writable ({error.strerror or error}): set TMPDIR to one"
        ) from error
