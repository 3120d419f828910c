"""For how many requests a row of the request log stands.

Revision: v10_apiodds
"""

import sqlalchemy as sa
from alembic import op

revision = "v10_apiodds"
down_revision = "v10_lists"


def upgrade() -> None:
    op.add_column(
        "requests",
        sa.Column("stands_for", sa.Integer(), nullable=False, server_default=sa.text("1"), comment="how many requests, itself among them"),
    )
