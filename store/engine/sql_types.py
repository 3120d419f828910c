"""Names for SQLAlchemy's types whose parameters are known only to the statement at hand."""

from typing import Any, TypeAlias

import sqlalchemy as sa

SqlRow: TypeAlias = sa.Row[*tuple[Any, ...]]
"""A row of a result; its columns are attributes."""

SqlSelect: TypeAlias = sa.Select[Any]
"""A query, whatever its rows hold."""

SqlExpression: TypeAlias = sa.ColumnElement[Any]
"""A column, or anything else that has a value for each row."""

SqlColumn: TypeAlias = sa.Column[Any]
"""A column of a table."""
