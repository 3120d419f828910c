"""PostgreSQL as people set it up: it works, or one line says what to change."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ringback.cli.database_access import require_services
from ringback.settings import Settings
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.times import UnixMs
from schemas.tokens.secrets import new_token
from store.directory.directory import Directory
from store.engine import migrate
from store.engine.database import Database
from store.engine.notifications import NotificationListener
from store.engine.suitability import Unsuitable, require_usable
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.command import Place
from tests.kit.notes import Notes
from tests.kit.pgbouncer import PgBouncer
from tests.kit.postgres import Postgres
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import wait_for

NOW = UnixMs(1_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])
PEOPLE = "株式会社 Müller الشركة"


def test_a_database_in_sql_ascii_keeps_every_script(postgres: Postgres) -> None:
    """`createdb` makes it so on a machine without a locale."""
    with contextlib.closing(Database(postgres.database_in("SQL_ASCII"))) as database:
        migrate.upgrade(database)

        made = Tokens(database, VAULT).create(token_fields(PEOPLE), {}, NOW, TESTER)

        assert Tokens(database, VAULT).get(made.token.id).name == PEOPLE
        assert require_usable(database) == ""


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "LATIN9", "EUC_JP"])
def test_a_database_that_lacks_most_letters_is_refused_with_what_to_do(
    postgres: Postgres, tmp_path: Path, encoding: str
) -> None:
    """Names, and ids of conversations, come in every script: an event would be lost for each that
    does not fit.
    """
    place = Place(tmp_path, DATABASE_URL=postgres.database_in(encoding), SECRET_KEY="k" * 32)

    done = place.call("migrate")

    assert done.status == 1
    assert re.fullmatch(
        rf"ringback: the database test_\d+ keeps texts in {encoding}, .*createdb --encoding=UTF8 "
        rf".*\n",
        done.err,
    )


def test_the_doctor_refuses_it_too(postgres: Postgres) -> None:
    """One that an older release has filled."""
    with (
        contextlib.closing(Database(postgres.database_in("LATIN1"))) as database,
        pytest.raises(Unsuitable, match="keeps texts in LATIN1"),
    ):
        require_usable(database)


@pytest.mark.parametrize("ignored", ["", "options"])
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_everything_works_behind_a_pooler(postgres: Postgres, mode: str, ignored: str) -> None:
    """It lends a server's connection for each transaction, and refuses or leaves out startup
    parameters that it does not know.
    """
    with (
        PgBouncer(postgres, mode, ignored) as pooler,
        contextlib.closing(Database(pooler.through(postgres.fresh_database()))) as database,
    ):
        migrate.upgrade(database)
        directory, notes = Directory(database, VAULT, Notes()), Notes()
        directory.start()
        notifications = NotificationListener(database, notes)
        notifications.start()

        for _ in range(12):  # the driver prepares a statement when it sees it for the sixth time
            made = Tokens(database, VAULT).create(token_fields(), {}, NOW, TESTER)
            assert directory.holder(made.secret, NOW) == made.token
        assert directory.holder(new_token(), NOW) is None

        wait_for("it to be said", lambda: LogEvent.NOTIFICATIONS_UNAVAILABLE in notes.said)
        assert "pooler" in require_usable(database)
        notifications.close()
        directory.close()


def test_a_pooler_that_splits_transactions_is_named(postgres: Postgres) -> None:
    """Nothing can work there."""
    url = postgres.fresh_database()
    with (
        PgBouncer(postgres, "statement") as pooler,
        contextlib.closing(Database(pooler.through(url))) as database,
        pytest.raises(StoreUnavailable, match="pool_mode to transaction or session"),
    ):
        migrate.upgrade(database)


def test_a_server_of_its_own_is_no_pooler(postgres: Postgres) -> None:
    """There statements are prepared, and rings are heard."""
    with contextlib.closing(Database(postgres.fresh_database())) as database:
        migrate.upgrade(database)

        assert require_usable(database) == ""
        assert not database.behind_pooler


@pytest.fixture
def as_a_stranger(postgres: Postgres) -> Callable[[str], str]:
    """The address, for a role without any right."""

    def changed(url: str) -> str:
        with (
            postgres.administrator() as connection,
            contextlib.suppress(psycopg.errors.DuplicateObject),
        ):
            connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'else'")
        return url.replace("ringback:ringback@", "stranger:else@")

    return changed


def test_a_role_that_may_not_create_tables_gets_an_error(
    postgres: Postgres, as_a_stranger: Callable[[str], str]
) -> None:
    """Since PostgreSQL 15 that is every role but the database's owner."""
    with (
        contextlib.closing(Database(as_a_stranger(postgres.fresh_database()))) as database,
        pytest.raises(
            Unsuitable,
            match=r"role stranger may not make tables .*GRANT CREATE ON SCHEMA public TO stranger",
        ),
    ):
        migrate.upgrade(database)


def test_rights_that_are_missing_are_named(
    postgres: Postgres, as_a_stranger: Callable[[str], str]
) -> None:
    """Before the first event finds it out."""
    url = postgres.fresh_database()
    with (
        contextlib.closing(Database(url)) as owner,
        contextlib.closing(Database(as_a_stranger(url))) as database,
    ):
        migrate.upgrade(owner)
        with pytest.raises(
            StoreUnavailable,
            match="lacks a right: permission denied for table alembic_version: GRANT",
        ):
            migrate.current(database)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                sql.SQL("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO stranger")
            )
            connection.execute(sql.SQL("REVOKE INSERT ON audit_log FROM stranger"))

        with pytest.raises(
            Unsuitable,
            match=r"role stranger lacks rights \(DELETE on acknowledgements, .* and \d+ more\): GRANT "
            r"SELECT, INSERT",
        ):
            require_usable(database)
        with pytest.raises(Unsuitable, match="lacks rights"):  # no process starts without them
            require_services(Settings(database_url=as_a_stranger(url), secret_key="k" * 32))

        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                sql.SQL("GRANT INSERT, DELETE ON ALL TABLES IN SCHEMA public TO stranger")
            )
        assert require_usable(database) == ""
        migrate.upgrade(database)  # there is nothing to do, so no right is needed


def test_a_database_that_can_only_be_read_is_reported(postgres: Postgres) -> None:
    """Nothing can be made there, and nothing delivered."""
    with contextlib.closing(Database(postgres.fresh_database())) as database, postgres.read_only():
        for check in (migrate.upgrade, require_usable):
            with pytest.raises(StoreUnavailable, match="can only be read here"):
                check(database)
