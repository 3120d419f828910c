"""The tables as of 0.1.0.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _directory_version()
    _tokens()
    _callbacks()
    _events()
    _deliveries()
    _attempts()
    _requested_attempts()
    _outbox()


def _directory_version() -> None:
    op.create_table(
        "directory_version",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_directory_version"),
        comment="One row, raised in the transaction of every change to tokens or callbacks; its row lock puts those in order.",
    )
    op.execute("INSERT INTO directory_version (one, version) VALUES (1, 0)")


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="the directory version of its last change, callbacks included"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token"),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True, comment="of the token before a regeneration with overlap"),
        sa.Column("previous_until", sa.BigInteger(), nullable=True),
        sa.Column("signing_secrets", sa.LargeBinary(), nullable=False, comment="encrypted JSON: [[base64 key, until], …], oldest first"),
        sa.Column("permissions", sa.Text(), nullable=False, comment="JSON list"),
        sa.Column("channels", sa.Text(), nullable=True, comment="JSON list; null: all"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("activates_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("previous_hash", name="uq_tokens_previous_hash"),
        sa.UniqueConstraint("secret_hash", name="uq_tokens_secret_hash"),
    )
    op.create_index("ix_tokens_version", "tokens", ["version"])


def _callbacks() -> None:
    op.create_table(
        "callbacks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False, comment="encrypted JSON object"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_callbacks"),
    )
    op.create_index("ix_callbacks_token_id_type", "callbacks", ["token_id", "type"], unique=True)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("directly", sa.Boolean(), nullable=False, comment="published by AMQP, not through the API"),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("conflicts", sa.Integer(), nullable=False, comment="how often other content came under the same id"),
        sa.Column("callbacks", sa.Text(), nullable=False, comment="ids of those matched at the first claim, separated by spaces"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="as sent on every attempt"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_accepted_at_id", "events", ["accepted_at", "id"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="null when settled"),
        sa.Column("leased", sa.Boolean(), nullable=False, comment="whether due_at is the end of somebody's lease"),
        sa.Column("lease", sa.BigInteger(), nullable=False, comment="counted up at each take; 0: never taken from here"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="automatic attempts that failed"),
        sa.Column("status_code", sa.SmallInteger(), nullable=True, comment="of the last attempt"),
        sa.Column("outcome", sa.Text(), nullable=True, comment="of the last attempt"),
        sa.PrimaryKeyConstraint("event_id", "callback_id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_created_at_event_id_callback_id", "deliveries", ["created_at", "event_id", "callback_id"])
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["callback_id", "due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_token_id_created_at_event_id_callback_id", "deliveries", ["token_id", "created_at", "event_id", "callback_id"]
    )
    op.create_index(
        "ix_deliveries_undelivered",
        "deliveries",
        ["state", "created_at", "event_id", "callback_id"],
        postgresql_where=sa.text("state <> 'delivered'"),
        sqlite_where=sa.text("state <> 'delivered'"),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status_code", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("request_headers", sa.LargeBinary(), nullable=False, comment="JSON object, without the callback's own values"),
        sa.Column("response_body", sa.LargeBinary(), nullable=False, comment="its first KiB"),
        sa.PrimaryKeyConstraint("event_id", "callback_id", "id", name="pk_attempts"),
    )


def _requested_attempts() -> None:
    op.create_table(
        "requested_attempts",
        sa.Column("id", sa.Text(), nullable=False, comment="of the attempt to be"),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_requested_attempts"),
        comment="Attempts that somebody asked for, beside the automatic ones; a row lives until its attempt is recorded.",
    )
    op.create_index("ix_requested_attempts_due_at", "requested_attempts", ["due_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="0: free"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is no event; null: it may be one"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
        comment="Messages that no broker took. Many copies of one event may stand here.",
    )
