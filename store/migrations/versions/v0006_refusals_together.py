"""For how many requests a row of the request log stands.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "requests",
        sa.Column("stands_for", sa.Integer(), nullable=False, server_default=sa.text("1"), comment="how many requests, itself among them"),
    )
