"""The database's address: each spelling that people use gives the same parts to every connection."""

import pytest

from schemas.errors import UsageError
from store.database import Database
from store.database_url import fault, read_address, shown


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
def test_every_connection_goes_to_the_hosts_that_are_written(address: str, host: str, port: int | str | None) -> None:
    """Also LISTEN's and the directory's own: the last of two hosts would be another server."""
    database = Database(address)
    own = Database(database.url)

    for one in (database, own):
        assert one._postgres is not None
        given = one._postgres._parameters
        assert (given["host"], given.get("port")) == (host, port)
        assert (given["user"], given["password"], given["dbname"]) == ("me", "pw", "db")
        assert ("target_session_attrs" in given) == ("," in host), "of several, the one that takes writes"
        one.close()


def test_what_the_address_says_goes_before_what_we_would_say() -> None:
    """But for what our statements rely on; options are kept beside ours."""
    query = "target_session_attrs=any&connect_timeout=9&options=-csearch_path%3Dours&application_name=mine&sslmode=require"
    database = Database(f"postgresql://me@one,two/db?{query}")
    assert database._postgres is not None
    given = database._postgres._parameters

    assert (given["target_session_attrs"], given["connect_timeout"], given["sslmode"]) == ("any", "9", "require")
    assert given["options"].endswith(" -csearch_path=ours")
    assert "statement_timeout" in given["options"]
    assert given["application_name"] == "ringback"
    database.close()


@pytest.mark.parametrize(
    "password", ["one@s3cret", "one@s3cret/two", "one@s3cret,two/three", "one@s3,cret:1,two?three", "s3cret/one,two", "one@s3cret?two"]
)
def test_a_password_with_signs_of_an_address_in_it_is_not_shown_as_a_part_of_one(password: str) -> None:
    """Whoever pastes it unencoded is told so, or it is taken for what it is."""
    address = f"postgresql://me:{password}@host/db"

    assert "s3" not in shown(address)
    assert "cret" not in shown(address)
    assert fault(address) or read_address(address).password == password


@pytest.mark.parametrize(
    "address", ["postgresql://me:s3cret@one:x/db", "postgresql://me:s3cret@one:5432,two:x/db", "mysql://me:s3cret@one/db"]
)
def test_an_address_that_cannot_be_read_is_refused_in_one_line_that_shows_nothing_of_it(address: str) -> None:
    """It holds a password."""
    with pytest.raises(UsageError, match="use sqlite:///PATH") as caught:
        read_address(address)

    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
