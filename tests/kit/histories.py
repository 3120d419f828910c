"""A store of tokens that goes back to what it was, for the tests of directories that follow it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.directory.directory import Directory
from store.engine.database import Database
from store.tables import callbacks, directory_marks, directory_version, tokens
from store.tokens.tokens import NewSecrets, Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
KEY = "a-key-for-tests-" * 2
VAULT = Vault([KEY])
TABLES = (callbacks, directory_marks, directory_version, tokens)
"""The tables that a directory reads, by name, which is the order of `pg_dump`."""

Backup = Mapping[sa.Table, Sequence[Mapping[str, Any]]]


class RestorableStore:
    """Tokens that see everything, and backups of them."""

    def __init__(self, database: Database):
        self.database, self.tokens = database, Tokens(database, VAULT)

    def create(self, name: str = "ACME") -> NewSecrets:
        return self.tokens.create(
            token_fields(name), {RECEIVED: CallbackFields("https://x.example/")}, NOW, TESTER
        )

    def revoke(self, made: NewSecrets) -> None:
        self.tokens.revoke(made.token.id, NOW, TESTER)

    def change(self, made: NewSecrets, name: str) -> None:
        self.tokens.change(made.token.id, lambda fields: replace(fields, name=name), TESTER)

    def backup(self) -> Backup:
        with self.database.read() as connection:
            return {
                table: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in TABLES
            }

    def restore(self, backup: Backup, tables: Sequence[sa.Table] = TABLES) -> None:
        with self.database.write() as connection:
            for table in tables:
                connection.execute(sa.delete(table))
                if backup[table]:
                    connection.execute(sa.insert(table), backup[table])


def matched(directory: Directory) -> set[TokenId]:
    return {token.id for token, _ in directory.match(RECEIVED, "ch1")}
