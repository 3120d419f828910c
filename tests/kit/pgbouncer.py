"""A private PgBouncer before a PostgreSQL node of the tests, on a free port and with a folder of its own.

Run as user postgres when we are root, which it refuses to be. Missing it fails the tests that need it.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
from typing import Self

from tests.kit.postgres import Postgres
from tests.kit.waiting import free_port, wait_for

_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={postgres}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
ignore_startup_parameters = {ignored}
default_pool_size = {pool}
"""


class PgBouncer:
    """A context manager. `ignored`: startup parameters that it is told to leave out; it refuses those that it does not know."""

    def __init__(self, postgres: Postgres, mode: str = "transaction", ignored: str = "", pool: int = 4):
        self._postgres_port, self.port = postgres.port, free_port()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ringback-pgbouncer-"))
        (self.dir / "users").write_text('"ringback" "ringback"\n')
        settings = _SETTINGS.format(postgres=postgres.port, port=self.port, folder=self.dir, mode=mode, ignored=ignored, pool=pool)
        (self.dir / "settings").write_text(settings)
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program, "no PgBouncer here: apt-get install pgbouncer"
        self._command = [program, "-q", str(self.dir / "settings")]
        if os.getuid() == 0:
            shutil.chown(self.dir, "postgres", "postgres")
            self._command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *self._command]

    def __enter__(self) -> Self:
        with (self.dir / "said").open("wb") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out, start_new_session=True)
        wait_for(f"PgBouncer to listen: {(self.dir / 'said').read_text()}", self._listens)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        shutil.rmtree(self.dir)

    def through(self, url: str) -> str:
        """The same database's address, by way of this."""
        return url.replace(f":{self._postgres_port}/", f":{self.port}/")

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True
