"""Whether a PostgreSQL database, as it was set up, is one that Ringback can work with; if not, what
to change, in one line.

Called by `ringback migrate` before it begins, and by `doctor`. On SQLite there is nothing to check.
"""

import sqlalchemy as sa

from schemas.errors import RingbackError, StoreUnavailable
from store.engine.database import Connection, Database
from store.tables import metadata

_ENCODINGS = ("UTF8", "SQL_ASCII")
"""In SQL_ASCII the server stores the bytes that it is given, and it is given UTF-8."""

_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")

_SETTINGS = sa.text(
    "SELECT current_setting('server_encoding') AS encoding,"
    " current_setting('transaction_read_only') = 'on' AS read_only, current_user AS role,"
    " current_schema() AS schema, current_database() AS name,"
    " coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create"
)
_LACKING = sa.text(
    'SELECT "right", relname FROM unnest(CAST(:rights AS text[])) "right", pg_class'
    " WHERE relname = ANY(CAST(:tables AS text[]))"
    " AND relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind = 'r'"
    ' AND NOT has_table_privilege(pg_class.oid, "right") ORDER BY relname, "right"'
)

_BEHIND_POOLER = (
    "; through a connection pooler, behind which processes do not hear of each other's commits but"
    " poll for them every second: use the server's own address to avoid that"
)


class Unsuitable(RingbackError):
    """The database has to be changed first. The text says what to change."""


def require_migratable(database: Database) -> None:
    """Check that tables can be created and changed. Raises Unsuitable, StoreUnavailable."""
    if database.dialect == "postgresql":
        with database.read() as connection:
            row = _require_sound(connection)
            if not row.may_create:
                raise Unsuitable(
                    f"the role {row.role} may not make tables in the database {row.name}:"
                    f" GRANT CREATE ON SCHEMA {row.schema or 'public'} TO {row.role}, or have"
                    f" {row.role} own the database"
                )


def require_usable(database: Database) -> str:
    """Check that the tables can be read and written. Return a remark for the operator, or "".

    Raises Unsuitable, StoreUnavailable.
    """
    if database.dialect != "postgresql":
        return ""
    with database.read() as connection:
        row = _require_sound(connection)
        lacking = connection.execute(
            _LACKING, {"rights": list(_RIGHTS), "tables": list(metadata.tables)}
        ).all()
    if lacking:
        named = ", ".join(f"{right} on {table}" for right, table in lacking[:3]) + (
            f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        )
        raise Unsuitable(
            f"the role {row.role} lacks rights ({named}): GRANT SELECT, INSERT, UPDATE, DELETE"
            f" ON ALL TABLES IN SCHEMA {row.schema} TO {row.role}"
        )
    return _BEHIND_POOLER if database.behind_pooler else ""


def _require_sound(connection: Connection) -> sa.Row[tuple[str, bool, str, str | None, str, bool]]:
    row = connection.execute(_SETTINGS).one()
    if row.encoding not in _ENCODINGS:
        raise Unsuitable(
            f"the database {row.name} keeps texts in {row.encoding}, which lacks most of the"
            " world's letters: create another one with"
            " `createdb --encoding=UTF8 --template=template0 NAME`, and copy the data with pg_dump"
        )
    if row.read_only:
        raise StoreUnavailable(
            f"the database {row.name} can only be read here: it is a standby, or"
            " default_transaction_read_only is on. Let RINGBACK_DATABASE_URL lead to the primary,"
            " or name all hosts there: `@one:5432,two:5432/`"
        )
    return row
