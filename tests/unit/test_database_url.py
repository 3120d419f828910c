"""The database's address: each spelling that people use gives the same parts to every
connection.
"""

import pytest
from psycopg import pq

from ringback.settings import Settings
from schemas.errors import StoreUnavailable, UsageError
from store.engine.database import Database
from store.engine.database_url import fault, read_address, shown, sqlite_path, without_hidden


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("postgresql+psycopg://me:pw@one/db", "one", None),
        ("postgresql+psycopg://me:pw@one:5433/db", "one", 5433),
        ("postgres://me:pw@one:5433/db", "one", 5433),
        ("postgresql://me:pw@[::1]:5433/db", "::1", 5433),
        ("postgresql://me:pw@one:5432,two:5433/db", "one,two", "5432,5433"),
        ("postgresql://me:pw@one,two/db", "one,two", ","),
        ("postgresql://me:pw@one,two:5433/db", "one,two", ",5433"),
        ("postgresql://me:pw@[::1]:5432,[::2]/db", "::1,::2", "5432,"),
        ("postgresql+psycopg://me:pw@/db?host=one:5432&host=two:5433", "one,two", "5432,5433"),
        ("postgresql+psycopg://me:pw@/db?host=one,two&port=5432,5433", "one,two", "5432,5433"),
    ],
)
def test_every_connection_goes_to_the_hosts_that_are_written(
    address: str, host: str, port: int | str | None
) -> None:
    """LISTEN's connection and the directory's own too: the last of two hosts would be another
    server.
    """
    database = Database(address)
    own = Database(database.url)

    for one in (database, own):
        assert one._postgres is not None
        given = one._postgres._parameters
        assert (given["host"], given.get("port")) == (host, port)
        assert (given["user"], given["password"], given["dbname"]) == ("me", "pw", "db")
        assert ("target_session_attrs" in given) == ("," in host), (
            "of several, the one that takes writes"
        )
        one.close()


def test_what_the_address_says_goes_before_what_we_would_say() -> None:
    """Except for what our statements rely on. Other options are kept alongside ours."""
    query = (
        "target_session_attrs=any&connect_timeout=9&options=-csearch_path%3Dours&"
        "application_name=mine&sslmode=require"
    )
    database = Database(f"postgresql://me@one,two/db?{query}")
    assert database._postgres is not None
    given = database._postgres._parameters

    assert (given["target_session_attrs"], given["connect_timeout"], given["sslmode"]) == (
        "any",
        "9",
        "require",
    )
    assert given["options"].endswith(" -csearch_path=ours")
    assert "statement_timeout" in given["options"]
    assert given["application_name"] == "ringback"
    database.close()


@pytest.mark.parametrize(
    "password",
    [
        "one@s3cret",
        "one@s3cret/two",
        "one@s3cret,two/three",
        "one@s3,cret:1,two?three",
        "s3cret/one,two",
        "one@s3cret?two",
    ],
)
def test_a_password_with_signs_of_an_address_in_it_is_not_shown_as_a_part_of_one(
    password: str,
) -> None:
    """An unencoded one is reported as such, or is taken for what it is."""
    address = f"postgresql://me:{password}@host/db"

    assert "s3" not in shown(address)
    assert "cret" not in shown(address)
    assert fault(address) or read_address(address).password == password


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:s3cret@one:x/db",
        "postgresql://me:s3cret@one:5432,two:x/db",
        "mysql://me:s3cret@one/db",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_in_one_line_that_shows_nothing_of_it(
    address: str,
) -> None:
    """It holds a password."""
    with pytest.raises(UsageError, match="use sqlite:///PATH") as caught:
        read_address(address)

    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "password=abc&s3cret=x", "s3cret=1", "autocommit=s3cret", "plugin=s3cret", "sslmode=s3cret",
        "sslmode=require&sslmode=s3cret",
        "connect_timeout=s3cret", "tcp_user_timeout=5s3cret", "keepalives_idle=s3cret",
        "target_session_attrs=s3cret",
        "channel_binding=s3cret", "gssencmode=s3cret", "load_balance_hosts=s3cret",
        "sslnegotiation=s3cret", "port=s3cret",
        "port=99999&options=s3cret", "port=5432,s3cret",
        "password=s3cret%00", "passfile=s3cret%00", "password=s3cret\udcff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("host", ["one", "one,two"])
def test_what_libpq_would_repeat_or_trip_over_is_refused_before(query: str, host: str) -> None:
    """Its words ended on a terminal, or a traceback did: a password with & in it reads as names and
    values.
    """
    with pytest.raises(UsageError, match="use sqlite:///PATH") as caught:
        read_address(
            f"postgresql://me:pw@{host}/db?application_name=x&{query}"
            if query != "s3cret"
            else f"postgresql://me@{host}/db?s3cret=1"
        )

    assert "s3cret" not in str(caught.value)
    assert shown(f"postgresql://me:pw@{host}/db?{query}") == "***"


def test_whatever_libpq_knows_goes_on_to_it() -> None:
    """This libpq's own list: a later one knows more."""
    for option in pq.Conninfo.get_defaults():
        name = option.keyword.decode()
        default = (option.compiled or b"1").decode()
        if name not in ("host", "port", "user", "dbname"):
            assert dict(read_address(f"postgresql://me@one/db?{name}={default}").query) == {
                name: default
            }


@pytest.mark.parametrize(
    "query",
    [
        "service=s3cret",
        "require_auth=s3cret",
        "ssl_min_protocol_version=s3cret",
        "require_auth=md5,s3cret",
    ],
)
def test_a_value_that_is_not_shown_is_not_repeated_by_libpq_either(query: str) -> None:
    """What is wrong with which parameter is said all the same."""
    database = Database(f"postgresql://me:pw@127.0.0.1:1/db?{query}")

    with pytest.raises(StoreUnavailable, match=r'"\*\*\*"') as caught:
        database.time()

    assert query.partition("=")[0].removesuffix("_auth") in str(caught.value)
    assert "s3cret" not in str(caught.value)
    database.close()


def test_what_is_shown_stays_in_a_server_s_words() -> None:
    """Otherwise no one could see what to change. A star in place of the user would reveal that the
    password is the same.
    """
    given = {"user": "me", "password": "me", "host": "one", "dbname": "db", "sslpassword": "s3cret"}

    assert (
        without_hidden('no "me", no "db" at "one", but "s3cret"', given)
        == 'no "me", no "db" at "one", but "***"'
    )


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:s3\ncret@one/db", "postgresql://me@one/s3cret%00",
        "postgresql://me%00:s3cret@one/db", "sqlite:///s3cret%00.db",
        "sqlite:///s3\tcret.db", "sqlite://s3cret/x.db", "sqlite+s3cret:///x.db",
        "sqlite:///x.db?s3cret=1", "sqlite:///x.db?timeout=s3cret",
        "postgresql://me@/db?host=one:1&host=s3cret:x",
        "postgresql://me@/s3cret?host=one&port=1,2,3",
        "postgresql://me@/s3cret?host=one&host=two&port=5", "postgresql://me:pw@one:99999/s3cret",
        "postgresql://me:pw@one:-5/s3cret", "postgresql://me:pw@one:0/s3cret",
    ],
)  # fmt: skip
def test_an_address_that_would_be_cut_or_lead_elsewhere_is_refused(address: str) -> None:
    """Libpq reads a text to its first NUL: what came after it, the port too, was its default."""
    with pytest.raises(UsageError, match="use sqlite:///PATH") as caught:
        read_address(address)

    assert "s3" not in str(caught.value)


@pytest.mark.parametrize("address", ["sqlite:///r.db\n", " postgresql://me:pw@one/r.db\r\n"])
def test_a_line_s_end_after_an_address_is_no_part_of_it(address: str) -> None:
    """A Secret that was made with `echo … | base64` ends in one: there would be another file, or
    another database.
    """
    settings = Settings(database_url=address, secret_key="k" * 40)

    assert settings.database_url == address.strip()
    assert read_address(address).database == "r.db"


def test_a_file_has_one_name_for_every_reader() -> None:
    """Both the check whether it is there and the opening of it."""
    assert (
        str(sqlite_path("sqlite:///a%20b.db\n"))
        == read_address("sqlite:///a%20b.db").database
        == "a b.db"
    )
    assert sqlite_path("postgresql://me@one/db") is None
