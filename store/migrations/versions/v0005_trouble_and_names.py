"""Recoveries that have trouble, and names of tokens without case.

What a process of the version before writes beside this one has no folded name: such a token is not found by its name until it is changed.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

from schemas.folding import folded

revision = "0005"
down_revision = "0004"


_SLICE = 1_000  # names that are in memory at once


def upgrade() -> None:
    _recoveries()
    _tokens()


def _recoveries() -> None:
    op.add_column(
        "recoveries",
        sa.Column("slice_rows", sa.Integer(), comment="how much of it is worked on at once, since a slice failed; null: as much as of any"),
    )
    op.add_column("recoveries", sa.Column("trouble", sa.Text(), comment="why its last slice failed; null: it did not"))


def _tokens() -> None:
    unordered = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    column = sa.Column(
        "folded", unordered, nullable=False, server_default=sa.text("''"), comment="the name without case, as it is searched and sorted"
    )
    op.add_column("tokens", column)
    connection = op.get_bind()
    tokens = sa.table("tokens", sa.column("id", sa.Text()), sa.column("name", sa.Text()), sa.column("folded", sa.Text()))
    this = tokens.c.id == sa.bindparam("this")
    last = ""
    while rows := connection.execute(sa.select(tokens).where(tokens.c.id > last).order_by(tokens.c.id).limit(_SLICE)).all():
        connection.execute(
            sa.update(tokens).where(this).values(folded=sa.bindparam("to")), [{"this": row.id, "to": folded(row.name)} for row in rows]
        )
        last = rows[-1].id
