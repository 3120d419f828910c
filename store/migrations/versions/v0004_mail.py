"""Adds mail to administrators and contacts.

Revision: mail
"""

import sqlalchemy as sa
from alembic import op

revision = "mail"
down_revision = "people_log"


def upgrade() -> None:
    """Add the tables, and whom mail goes to."""
    _mails()
    _notices()
    op.add_column(
        "people",
        sa.Column(
            "wants_mail",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="whether an administrator gets mail about callbacks and tokens",
        ),
    )


def _mails() -> None:
    op.create_table(
        "mails",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "due_at",
            sa.BigInteger(),
            nullable=False,
            comment="its next attempt, or the end of the lease of the dispatcher that makes it",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
        sqlite_autoincrement=True,
        comment="Mail on its way. A row lives until it is sent or given up.",
    )
    op.create_index("ix_mails_due_at", "mails", ["due_at"])


def _notices() -> None:
    op.create_table(
        "mail_notices",
        sa.Column(
            "key", sa.Text(), nullable=False, comment="what was written about, and since when"
        ),
        sa.Column("subject_id", sa.Text(), nullable=False, comment="the callback or the token"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "is_open",
            sa.Boolean(),
            nullable=False,
            comment="whether it is still to be written that this is over",
        ),
        sa.PrimaryKeyConstraint("key", name="pk_mail_notices"),
        comment="What was written about already.",
    )
    op.create_index("ix_mail_notices_subject_id", "mail_notices", ["subject_id"])
