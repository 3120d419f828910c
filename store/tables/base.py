"""What all tables share: their metadata, and column types that the databases spell differently."""

from typing import Any

from sqlalchemy import BigInteger, Integer, MetaData, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Unordered = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared by its code points, as SQLite does, whatever the database's locale."""

RowId = BigInteger().with_variant(Integer, "sqlite")
"""A key that counts up by itself, which SQLite does only in INTEGER keys."""


def where(condition: str) -> dict[str, Any]:
    """Return the dialect options of a partial index."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
