"""What all tables share: their metadata, and types that both databases have in their own way."""

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
"""Compared and sorted by its characters' numbers, as SQLite does, whatever the database's locale.
"""

RowId = BigInteger().with_variant(
    Integer, "sqlite"
)  # SQLite counts up by itself only in INTEGER keys


def where(condition: str) -> dict[str, Any]:
    """Of a partial index."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
