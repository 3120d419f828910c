"""The request log, the operation log, the order in which events are pulled, and whose turn it is to delete what is old.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _events()
    _requests()
    _changes()
    _turns()


def _events() -> None:
    """Events that are there already are pulled in the order in which they were accepted; tests of callbacks are not."""
    op.add_column(
        "events",
        sa.Column(
            "taken_at", sa.BigInteger(), comment="when it was claimed, by the store's clock: the order in which it is pulled; null: a test"
        ),
    )
    op.execute(r"UPDATE events SET taken_at = accepted_at WHERE id NOT LIKE 'evt!_test!_%' ESCAPE '!'")
    op.create_index(
        "ix_events_taken_at",
        "events",
        ["taken_at", "accepted_at", "id"],
        postgresql_where=sa.text("taken_at IS NOT NULL"),
        sqlite_where=sa.text("taken_at IS NOT NULL"),
    )


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False, comment="ours, made in the order of time"),
        sa.Column("token_id", sa.Text(), comment="null: only its status was reported yet, and nobody sees it"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), comment="the X-Request-Id of the answer"),
        sa.Column("method", sa.Text()),
        sa.Column("path", sa.Text(), comment="without its query"),
        sa.Column("status", sa.SmallInteger(), comment="null: not reported yet"),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("address", sa.Text()),
        sa.Column("user_agent", sa.Text()),
        sa.Column("permission", sa.Text(), comment="that was asked for; null: none"),
        sa.Column("allowed", sa.Boolean()),
        sa.Column("reason", sa.Text(), comment="why not"),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
        comment="The request log: every request made with a token, here or as the chat platform reported it.",
    )
    op.create_index("ix_requests_token_id_at_id", "requests", ["token_id", "at", "id"])


def _changes() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "changes",
        sa.Column("id", row_id, sa.Identity(always=False), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), comment="of the callback that was changed; null: the token itself"),
        sa.Column("by", sa.Text(), nullable=False, comment="a token's id, or who else it was"),
        sa.Column("address", sa.Text(), comment="from where; null: at the command line"),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON object: field → [before, after], without secrets"),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        comment="The operation log: who changed what on a token. Written in the transaction of the change.",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_token_id_id", "changes", ["token_id", "id"])


def _turns() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.Text(), nullable=False, comment="what is done by one process at a time"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="the end of the turn of whoever took it last"),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        comment="Whose turn it is, of several dispatchers, to do what one of them is to do.",
    )
