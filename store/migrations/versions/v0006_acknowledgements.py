"""Adds the failures that a person acknowledged, for the page of what needs attention.

Revision: acknowledgements
"""

import sqlalchemy as sa
from alembic import op

revision = "acknowledgements"
down_revision = "figures"


def upgrade() -> None:
    """Create the table and its index."""
    op.create_table(
        "acknowledgements",
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="an HTTP status, an outcome, or nothing: unknown",
        ),
        sa.Column(
            "at",
            sa.BigInteger(),
            nullable=False,
            comment="what began to fail later is not covered",
        ),
        sa.Column("by", sa.Text(), nullable=False, comment="user: and an e-mail"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("callback_id", "kind", name="pk_acknowledgements"),
        comment="Failures that a person knows of. A row is void once its callback worked again.",
    )
    op.create_index("ix_acknowledgements_at", "acknowledgements", ["at"])
