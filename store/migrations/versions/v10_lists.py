"""Recoveries that have trouble.

Revision: v10_lists
"""

import sqlalchemy as sa
from alembic import op

revision = "v10_lists"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "recoveries",
        sa.Column("slice_rows", sa.Integer(), comment="how much of it is worked on at once, since a slice failed; null: as much as of any"),
    )
    op.add_column("recoveries", sa.Column("trouble", sa.Text(), comment="why its last slice failed; null: it did not"))
