"""Marks of the directory's last versions, by which processes notice that the database was restored, and pages of tokens by version and id.

Revision: 0004
"""

from secrets import token_hex

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    marks = op.create_table(
        "directory_marks",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "mark",
            sa.Text(),
            nullable=False,
            comment="made by chance: where it stands no more, this is not the history that it was seen in",
        ),
        sa.PrimaryKeyConstraint("version", name="pk_directory_marks"),
        comment="The last versions of the directory: who remembers tokens sees by them that the database was restored, or lost transactions.",
    )
    version = op.get_bind().scalar(sa.text("SELECT version FROM directory_version"))
    op.bulk_insert(marks, [{"version": version, "mark": token_hex(8)}])
    op.drop_index("ix_tokens_version", table_name="tokens")
    op.create_index("ix_tokens_version_id", "tokens", ["version", "id"])
