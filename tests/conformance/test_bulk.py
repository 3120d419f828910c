"""Bulk writes: what goes in is what is there, whatever characters it is made of."""

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.engine import bulk
from store.engine.database import Database

_TABLE = sa.Table(
    "bulk_sample",
    sa.MetaData(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("words", sa.Text),
    sa.Column("number", sa.BigInteger),
    sa.Column("yes", sa.Boolean),
    sa.Column("payload", sa.LargeBinary),
)
_words = st.one_of(
    st.none(),
    st.sampled_from(["NULL", "", '"', "\\", "{}", ",", "a\nb"]),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
)
_row = st.fixed_dictionaries(
    {
        "words": _words,
        "number": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "yes": st.booleans(),
        "payload": st.binary(),
    }
)


@pytest.fixture
def sample(database: Database) -> Database:
    _TABLE.create(database.engine)
    return database


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(rows=st.lists(_row, min_size=1, max_size=8))
def test_rows_come_back_as_they_were_written(
    sample: Database, rows: list[dict[str, object]]
) -> None:
    """Both databases' fast ways spell values by themselves: no value may break out of its place."""
    numbered = [{"id": str(number), **row} for number, row in enumerate(rows)]
    with sample.write() as connection:
        connection.execute(sa.delete(_TABLE))
        bulk.insert(connection, _TABLE, numbered)

    with sample.read() as connection:
        found = [dict(row) for row in connection.execute(sa.select(_TABLE)).mappings()]

    assert sorted(found, key=lambda row: int(row["id"])) == numbered


def test_of_rows_whose_id_is_there_only_the_new_are_inserted_and_named(sample: Database) -> None:
    """A claim learns from this which events are its own."""
    row = {"words": "first", "number": 1, "yes": True, "payload": b""}
    with sample.write() as connection:
        bulk.insert(connection, _TABLE, [{"id": "b", **row}])
        new = bulk.insert_new(
            connection, _TABLE, [{"id": i, **row, "words": "second"} for i in ("a", "b", "c")]
        )

    assert new == {"a", "c"}
    with sample.read() as connection:
        assert connection.scalar(sa.select(_TABLE.c.words).where(_TABLE.c.id == "b")) == "first"
