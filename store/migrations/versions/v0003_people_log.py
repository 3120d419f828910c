"""Adds the log of what is done to the people who sign in, and an index by which failures end.

Revision: people_log
"""

import sqlalchemy as sa
from alembic import op

revision = "people_log"
down_revision = "people"


def upgrade() -> None:
    """Add the table and the indexes."""
    op.create_table(
        "people_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("email", sa.Text(), nullable=False, comment="the person to whom it was done"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "by",
            sa.Text(),
            nullable=False,
            comment="user: and an e-mail, or the name of another actor",
        ),
        sa.Column("address", sa.Text(), comment="the client's address; null: at the command line"),
        sa.Column(
            "details",
            sa.Text(),
            nullable=False,
            comment="JSON object: field → [before, after], without secrets",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_people_log"),
        comment="Who did what to the people who sign in, written with the change.",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_people_log_email_id", "people_log", ["email", "id"])
    op.create_index("ix_sign_in_failures_last_at", "sign_in_failures", ["last_at"])
