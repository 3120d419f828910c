"""A private PgBouncer before a PostgreSQL node of the tests, on a free port and with a folder of
its own.

Run as user postgres when we are root, which it refuses to be.
"""

import os
import shutil
import socket

from tests.kit.postgres import Postgres
from tests.kit.programs import StartedProgram, path_of
from tests.kit.waiting import free_port

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


class PgBouncer(StartedProgram):
    """`ignored`: startup parameters that it is configured to leave out.
    It refuses those that it does not know.
    """

    name = "pgbouncer"

    def __init__(
        self, postgres: Postgres, mode: str = "transaction", ignored: str = "", pool: int = 4
    ):
        super().__init__()
        self._postgres_port, self.port = postgres.port, free_port()
        (self.dir / "users").write_text('"ringback" "ringback"\n')
        settings = _SETTINGS.format(
            postgres=postgres.port,
            port=self.port,
            folder=self.dir,
            mode=mode,
            ignored=ignored,
            pool=pool,
        )
        (self.dir / "settings").write_text(settings)
        self.command = [path_of("pgbouncer"), "-q", str(self.dir / "settings")]
        if os.getuid() == 0:
            shutil.chown(self.dir, "postgres", "postgres")
            self.command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *self.command,
            ]

    def through(self, url: str) -> str:
        """The address of the same database through this pooler."""
        return url.replace(f":{self._postgres_port}/", f":{self.port}/")

    def runs(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True
