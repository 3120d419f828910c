"""The temporary folder: workers of the API count in files there, and workbooks are made there. In a
container whose root is read-only there may be none. Called by the process `api` and by `doctor`.
"""

import tempfile

from schemas.errors import RingbackError


def temporary_folder() -> str:
    """Where it is. Raises RingbackError unless it can be written to."""
    try:
        with tempfile.TemporaryFile(prefix="ringback-") as file:
            file.write(b"x")
            file.flush()
        return tempfile.gettempdir()
    except OSError as error:
        raise RingbackError(
            f"no temporary folder can be written to ({error.strerror or error}): set TMPDIR to one"
        ) from error
