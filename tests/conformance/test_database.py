"""What a database's errors and its silence mean: try again, or do not, and never wait for ever."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from schemas.errors import StatementTimedOut, StoreRefused, StoreUnavailable, Unstorable
from store.engine.database import Database
from tests.kit.postgres import Postgres
from tests.kit.waiting import free_port

_TABLE = sa.Table(
    "sample",
    sa.MetaData(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("number", sa.SmallInteger),
)


@pytest.fixture
def on_postgres(postgres: Postgres) -> Iterator[Database]:
    made = Database(postgres.fresh_database())
    _TABLE.create(made.engine)
    yield made
    made.close()


@pytest.fixture
def impatient(postgres: Postgres) -> Iterator[Database]:
    """One second for every answer, and one of grace."""
    made = Database(postgres.fresh_database(), timeout_s=1)
    yield made
    made.close()


def run(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_data_that_breaks_a_rule_is_refused(database: Database) -> None:
    """Trying again would be useless: the writer splits its batch, or makes a dead letter of it."""
    _TABLE.create(database.engine)
    run(database, "INSERT INTO sample VALUES ('a', 1)")

    with pytest.raises(StoreRefused, match="refuses"):
        run(database, "INSERT INTO sample VALUES ('a', 2)")


def test_an_error_repeats_no_value(database: Database) -> None:
    """Its whole chain is logged, and values are data of customers, addresses of people and hashes
    of passwords.
    """
    _TABLE.create(database.engine)
    rows = [{"id": "same", "number": 12345}]

    with pytest.raises(StoreRefused) as refused, database.write() as connection:
        connection.execute(sa.insert(_TABLE), rows + rows)

    assert "12345" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO sample VALUES ('a', 99999)", "INSERT INTO sample VALUES ('a', 1 / 0)"],
)
def test_data_that_does_not_fit_is_refused(on_postgres: Database, statement: str) -> None:
    """SQLSTATE class 22."""
    with pytest.raises(StoreRefused):
        run(on_postgres, statement)


def test_text_that_no_database_takes_is_refused(on_postgres: Database) -> None:
    """The driver itself says so, without a SQLSTATE."""
    with pytest.raises(Unstorable, match="NUL"), on_postgres.write() as connection:
        connection.execute(sa.insert(_TABLE).values(id="a\0b"))


def test_a_missing_table_is_no_fault_of_the_data(database: Database) -> None:
    """A dispatcher that is newer than the last migration must not make dead letters of events
    because of it.
    """
    with pytest.raises(StoreUnavailable, match="not_there"):
        run(database, "INSERT INTO not_there VALUES (1)")


def test_a_read_only_standby_is_no_fault_of_the_data(on_postgres: Database) -> None:
    """After a fail-over the old address may lead there for a while (25006)."""
    with pytest.raises(StoreUnavailable, match="read-only"):
        run(on_postgres, "SET TRANSACTION READ ONLY", "INSERT INTO sample VALUES ('a', 1)")


def test_a_read_only_server_is_left_by_all_connections(on_postgres: Database) -> None:
    """They would stay with the old primary for as long as it lives, while new ones lead to the new
    primary.
    """
    with on_postgres.read() as first, on_postgres.read() as second:
        before = {
            connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            for connection in (first, second)
        }

    with pytest.raises(StoreUnavailable, match="read-only"):
        run(on_postgres, "SET TRANSACTION READ ONLY", "INSERT INTO sample VALUES ('a', 1)")

    with on_postgres.read() as first, on_postgres.read() as second:
        after = {
            connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            for connection in (first, second)
        }
    assert not before & after


@pytest.mark.parametrize("code", ["42501", "0A000", "XX000", "25006", "54000", "58030"])
def test_whatever_else_a_database_says_is_worth_another_try(
    on_postgres: Database, code: str
) -> None:
    """No right, not supported, a mistake of its own, a limit, its disk: the data is as it was."""
    with pytest.raises(StoreUnavailable, match=f"said so.*{code}"):
        run(on_postgres, f"DO $$ BEGIN RAISE 'said so' USING ERRCODE = '{code}'; END $$")


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    """SQLite has no SQLSTATE: its kinds of errors say it."""
    path = tmp_path / "ringback.db"
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(StoreUnavailable, match="not a database"):
        run(Database(f"sqlite:///{path}"), "SELECT 1")


def test_of_several_hosts_each_connection_finds_the_one_that_answers(postgres: Postgres) -> None:
    """The connection for LISTEN too: it took the last one."""
    url = postgres.fresh_database().replace(
        f":{postgres.port}/", f":{postgres.port},127.0.0.1:{free_port()}/"
    )
    with contextlib.closing(Database(url)) as database:
        run(database, "CREATE TABLE sample (id integer)")
        with database.listener() as connection:
            assert connection.execute("SELECT count(*) FROM sample").fetchall() == [(0,)]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1252"])
def test_texts_come_back_as_they_were_whatever_the_database_keeps(
    postgres: Postgres, encoding: str
) -> None:
    """A database made on a machine without a locale is in SQL_ASCII, and would answer bytes."""
    with contextlib.closing(Database(postgres.database_in(encoding))) as database:
        _TABLE.create(database.engine)
        with database.write() as connection:
            connection.execute(sa.insert(_TABLE).values(id="Müller", number=1))

        with database.read() as connection:
            assert connection.scalars(sa.select(_TABLE.c.id)).all() == ["Müller"]


def test_a_slow_statement_ends_by_the_servers_limit(impatient: Database) -> None:
    """It says why, and the connection is as good as before. It is distinguished from an unavailable
    database: that would stop all work.
    """
    run(impatient, "SELECT 1")
    with pytest.raises(StatementTimedOut, match="statement timeout"):
        run(impatient, "SELECT pg_sleep(60)")

    run(impatient, "SELECT 1")


def test_a_statement_that_waits_too_long_for_a_lock_is_distinguished_from_an_unavailable_database(
    impatient: Database,
) -> None:
    """A table is altered: those who need it wait, and all others work on."""
    run(impatient, "CREATE TABLE kept (id integer)")
    with impatient.write() as keeping:
        keeping.exec_driver_sql("LOCK TABLE kept")

        with pytest.raises(StatementTimedOut, match="timeout"):
            run(impatient, "INSERT INTO kept VALUES (1)")


def test_a_connection_that_an_operator_ends_is_no_statement_out_of_time(
    on_postgres: Database,
) -> None:
    """SQLSTATE class 57 too, but this one is lost."""
    with pytest.raises(StoreUnavailable) as caught:
        run(on_postgres, "SELECT pg_terminate_backend(pg_backend_pid())")

    assert not isinstance(caught.value, StatementTimedOut)


def test_a_silent_database_is_noticed_in_the_midst_of_a_transaction(
    impatient: Database, postgres: Postgres
) -> None:
    """A server that hangs still acknowledges what it is sent: neither TCP nor the server's own
    limit notices.
    """

    def fall_silent_between() -> None:
        with impatient.write() as connection:
            connection.exec_driver_sql("SELECT 1")
            with postgres.frozen():
                connection.exec_driver_sql("SELECT 2")

    with pytest.raises(StoreUnavailable, match="no answer within 2 s"):
        fall_silent_between()

    run(impatient, "SELECT 1")


def test_a_silent_database_is_noticed_by_a_commit(impatient: Database, postgres: Postgres) -> None:
    """It is unknown whether it happened: to be tried again."""
    silence = contextlib.ExitStack()

    def fall_silent_at_the_end() -> None:
        with impatient.write() as connection:
            connection.exec_driver_sql("SELECT 1")
            silence.enter_context(postgres.frozen())

    with silence, pytest.raises(StoreUnavailable, match="no answer within 2 s"):
        fall_silent_at_the_end()

    run(impatient, "SELECT 1")


def test_a_silent_database_is_noticed_by_who_connects(
    impatient: Database, postgres: Postgres
) -> None:
    """The kernel takes the connection for it."""
    with postgres.frozen(), pytest.raises(StoreUnavailable):
        run(impatient, "SELECT 1")

    run(impatient, "SELECT 1")


def test_a_silent_database_is_noticed_outside_the_pool(
    impatient: Database, postgres: Postgres
) -> None:
    """The connection for notifications has the same limit."""
    with (
        impatient.listener() as connection,
        postgres.frozen(),
        pytest.raises(psycopg.OperationalError, match="no answer"),
    ):
        connection.execute("SELECT 1")
