"""A PostgreSQL node of the tests' own, from Debian's package: its own port and folder.

The system's own cluster, if one runs, is never touched. A missing package is an error that says
what to install.
"""

import atexit
import contextlib
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
from psycopg import sql

from tests.kit.waiting import free_port, wait_for

_numbers = itertools.count(1)


class Postgres:
    """One node, made by `initdb`; run as user postgres when we are root, which `initdb` refuses to
    be.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        """`fsync`: commits reach the disk, as in production; without it, they are faster and as
        good for a test.
        """
        installed = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        assert installed, "no PostgreSQL here: apt-get install postgresql"
        self._bin = installed[-1].parent
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ringback-postgres-"))
        self.port, self._fsync = free_port(), "on" if fsync else "off"
        self.running = False
        atexit.register(self.close)
        if os.getuid() == 0:
            shutil.chown(self.dir, "postgres", "postgres")
        self._make()

    @property
    def url(self) -> str:
        """SQLAlchemy's address of the node's own database, `ringback`."""
        return self._url("ringback")

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c "
            f"unix_socket_directories={self.dir} -c max_connections=200 -c "
            f"fsync={self._fsync}"
        )
        self._run(
            "pg_ctl",
            "-D",
            f"{self.dir}/data",
            "-l",
            f"{self.dir}/log",
            "-w",
            "-o",
            options,
            "start",
        )
        self.running = True

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is a crash, `fast` says goodbye. What was committed is there
        after `start`.
        """
        self._run("pg_ctl", "-D", f"{self.dir}/data", "-m", mode, "-w", "stop")
        self.running = False

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Silence: connections stay open and new ones are taken by the kernel,
        but nothing answers.
        """
        postmaster = psutil.Process(
            int((self.dir / "data" / "postmaster.pid").read_text().split()[0])
        )
        processes = [
            postmaster,
            *postmaster.children(),
        ]  # each backend is in a session of its own: no group to signal
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # it was about to end
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):  # it was about to end
                    process.resume()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Like a primary after a fail-over: it is only read now, also in the sessions that are
        open. None of them is cut.
        """
        self._administer("ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            yield
        finally:
            self._administer("ALTER SYSTEM RESET default_transaction_read_only")

    def fresh_database(self, options: str = "") -> str:
        """The address of a new, empty database; `options` as `CREATE DATABASE` takes them."""
        name = f"test_{next(_numbers)}"
        with self.administrator() as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
        return self._url(name)

    def database_in(self, encoding: str) -> str:
        """The address of a new, empty database in this encoding, without a locale: what a server
        made without one has.
        """
        return self.fresh_database(f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")

    def ask(self, query: str, url: str | None = None) -> Any:
        """The first value of the answer, by the superuser."""
        with psycopg.connect(
            (url or self._url("postgres")).replace("+psycopg", ""), autocommit=True
        ) as connection:
            text = sql.SQL(query)
            row = connection.execute(text).fetchone()
        return row[0] if row else None

    def dump(self, url: str) -> pathlib.Path:
        """A back-up of this database, as docs/operations.md makes it. It is gone with the node."""
        backup = self.dir / f"backup-{next(_numbers)}"
        self._run("pg_dump", "--format=custom", f"--file={backup}", url.replace("+psycopg", ""))
        return backup

    def restore(self, url: str, backup: pathlib.Path) -> None:
        """Restore it while clients are connected, as docs/operations.md does it."""
        self._run(
            "pg_restore",
            "--clean",
            "--if-exists",
            "--single-transaction",
            f"--dbname={url.replace('+psycopg', '')}",
            str(backup),
        )

    def close(self) -> None:
        if not self.dir.exists():
            return
        if self.running:
            self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def administrator(self) -> psycopg.Connection[Any]:
        """A session of the superuser, which commits each statement."""
        return psycopg.connect(self._url("postgres").replace("+psycopg", ""), autocommit=True)

    def _administer(self, setting: str) -> None:
        """Change a setting of the server, and wait until its sessions use it."""
        with self.administrator() as connection:
            connection.execute(sql.SQL(setting))
            connection.execute("SELECT pg_reload_conf()")
            wanted = "on" if " SET " in setting else "off"
            wait_for(
                "the server to use it",
                lambda: (
                    (connection.execute("SHOW transaction_read_only").fetchone() or ("",))[0]
                    == wanted
                ),
            )

    def _make(self) -> None:
        password = self.dir / "password"
        password.write_text("ringback")
        password.chmod(0o644)
        access = ("-U", "ringback", "--pwfile", str(password), "-A", "scram-sha-256")
        self._run(
            "initdb",
            "-D",
            f"{self.dir}/data",
            *access,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "ringback", "ringback")

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://ringback:ringback@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *args: str) -> None:
        command = ["env", "PGPASSWORD=ringback", str(self._bin / program), *args]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        with (self.dir / "commands").open(
            "a+"
        ) as out:  # a file: pg_ctl's server would keep a pipe open for ever
            done = subprocess.run(
                command, stdout=out, stderr=out, cwd=self.dir, timeout=90, check=False
            )
        assert done.returncode == 0, f"{program}: {(self.dir / 'commands').read_text()[-800:]}"
