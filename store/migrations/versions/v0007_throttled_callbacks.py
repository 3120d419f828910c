"""Until when a callback is left alone, as its receiver asked, and since when it takes nothing.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "callbacks",
        sa.Column(
            "throttled_until",
            sa.BigInteger(),
            comment="nothing automatic is sent before this, as its receiver asked; it may have passed long ago",
        ),
    )
    op.add_column(
        "callbacks",
        sa.Column(
            "throttled_since", sa.BigInteger(), comment="since when it takes nothing and asks for that; null: it took something since"
        ),
    )
    where = sa.text("throttled_since IS NOT NULL")
    op.create_index("ix_callbacks_throttled_since", "callbacks", ["throttled_since"], postgresql_where=where, sqlite_where=where)
