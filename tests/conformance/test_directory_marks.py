"""How a directory follows by versions and their marks: what changed is loaded, and nothing else, as
long as nothing was restored.
"""

import contextlib
from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.tokens.secrets import new_token
from store import history
from store.directory.directory import Directory
from store.engine.database import Database
from store.tables import directory_marks, directory_version, tokens
from store.tokens.rows import raise_version
from tests.kit.histories import NOW, RestorableStore, matched
from tests.kit.notes import Notes
from tests.kit.plans import plans


def test_who_missed_many_changes_goes_on_from_where_it_was(
    restorable: RestorableStore, directory: Directory, notes: Notes
) -> None:
    """Nothing was restored: only what changed is loaded."""
    kept, changed = restorable.create(), restorable.create()
    directory.refresh()
    known = directory.token(kept.token.id)

    for number in range(30):
        restorable.change(changed, f"changed {number}")
    directory.refresh()

    assert directory.token(kept.token.id) is known
    assert notes.said == []


def test_only_so_many_marks_are_kept(
    restorable: RestorableStore, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They must not grow for ever. Who missed more than there are loads everything: that it was not
    restored can no longer be seen.
    """
    monkeypatch.setattr("store.tokens.rows.MARKS_KEPT", 5)
    made = restorable.create()
    directory.refresh()

    for number in range(8):
        restorable.change(made, f"changed {number}")
    directory.refresh()

    assert len(restorable.backup()[directory_marks]) == 5
    assert matched(directory) == {made.token.id}


def test_a_process_of_the_release_before_leaves_no_marks_and_costs_no_process_a_fresh_start(
    restorable: RestorableStore, directory: Directory, database: Database, notes: Notes
) -> None:
    """While an installation is brought up to date, both run side by side."""
    kept, made = restorable.create(), restorable.create()
    directory.refresh()
    known = directory.token(kept.token.id)

    for name in ("by the old one", "and again"):
        with database.write() as connection:
            version = connection.scalar(
                sa.update(directory_version)
                .values(version=directory_version.c.version + 1)
                .returning(directory_version.c.version)
            )
            connection.execute(
                sa.update(tokens)
                .where(tokens.c.id == made.token.id)
                .values(version=version, name=name)
            )
        directory.refresh()
        assert directory.token(made.token.id) == replace(made.token, name=name)
    restorable.change(made, "by the new one")
    directory.refresh()

    assert directory.token(kept.token.id) is known
    assert notes.said == []


def test_a_poll_finds_its_rows_by_index(
    database: Database, restorable: RestorableStore, database_url: str
) -> None:
    """Four times a second, in every process, however many tokens and marks there are."""
    restorable.create()
    if database.dialect == "postgresql":  # which would read a table of a few rows whole
        database_url += "?options=-c%20enable_seqscan%3Doff"
    with contextlib.closing(Database(database_url)) as asked:
        (found,) = plans(asked, lambda connection: history.read(connection, None))

    assert "directory_marks_1 (version=?)" in found or "pk_directory_marks" in found
    assert "ix_tokens_version_id" in found


def test_a_version_that_was_raised_for_nothing_is_known(
    directory: Directory, database: Database, notes: Notes
) -> None:
    """Two dispatchers may find out the same of a callback at once."""
    directory.refresh()
    with database.write() as connection:
        raise_version(connection)

    directory.refresh()

    assert directory.fresh()
    assert notes.said == []


def test_an_empty_database_is_no_other_history(
    directory: Directory, restorable: RestorableStore, notes: Notes
) -> None:
    """The first token of a new installation."""
    directory.refresh()
    made = restorable.create()

    assert directory.holder(made.secret, NOW) == made.token
    assert directory.holder(new_token(), NOW) is None
    assert notes.said == []
