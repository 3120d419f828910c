"""A standby of one of the tests' PostgreSQL nodes: a copy that follows it as it changes, until it
is promoted.
"""

from tests.kit.postgres import Postgres
from tests.kit.waiting import wait_for


class Standby(Postgres):
    """Follows when made. `close` it like any node."""

    def __init__(self, primary: Postgres, *, fsync: bool = False):
        self._primary = primary
        super().__init__(fsync=fsync)

    def catch_up(self) -> None:
        """Until all that the primary has committed is here."""
        at = self._primary.ask("SELECT pg_current_wal_lsn()")
        wait_for(
            "the standby to catch up",
            lambda: self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{at}'"),
            60,
        )

    def promote(self) -> None:
        """From now on it takes writes and follows no other server. Its sessions go on."""
        self.ask("SELECT pg_promote(true, 60)")

    def _make(self) -> None:
        server = ("-h", "127.0.0.1", "-p", str(self._primary.port), "-U", "ringback")
        self._run(
            "pg_basebackup",
            *server,
            "-D",
            f"{self.dir}/data",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
        )
        self.start()
