"""Tables of tokens: the directory, tokens, callbacks, and the logs about them."""

from secrets import token_hex

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem


def create() -> None:
    """Create these tables and their indexes, with the rows that they need."""
    _directory_version()
    _directory_marks()
    _tokens()
    _tokens_indexes()
    _callbacks()
    _callbacks_indexes()
    _audit_log()
    _requests()


def _directory_version() -> None:
    op.create_table(
        "directory_version",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_directory_version"),
        comment="One row, raised by every change to tokens or callbacks; its lock orders them.",
    )
    op.execute("INSERT INTO directory_version (one, version) VALUES (1, 0)")


def _directory_marks() -> None:
    marks = op.create_table(
        "directory_marks",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "mark",
            sa.Text(),
            nullable=False,
            comment="random; a process whose mark is gone knows another history",
        ),
        sa.PrimaryKeyConstraint("version", name="pk_directory_marks"),
        comment="The latest versions of the directory, to notice that the database was restored.",
    )
    op.bulk_insert(marks, [{"version": 0, "mark": token_hex(8)}])


def _token_validity_columns() -> list[SchemaItem]:
    return [
        sa.Column("permissions", sa.Text(), nullable=False, comment="JSON list"),
        sa.Column("channels", sa.Text(), comment="JSON list; null: all"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("activates_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.Column(
            "expiry_alerted_days",
            sa.Integer(),
            comment="how many days before its end the operator was last alerted",
        ),
    ]


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="the directory version of its last change, callbacks included",
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "folded",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            server_default=sa.text("''"),
            nullable=False,
            comment="the name without case, as it is searched and sorted",
        ),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token"),
        sa.Column(
            "previous_hash",
            sa.LargeBinary(),
            comment="SHA-256 of the token before a regeneration with overlap",
        ),
        sa.Column("previous_until", sa.BigInteger()),
        sa.Column(
            "signing_secrets",
            sa.LargeBinary(),
            nullable=False,
            comment="encrypted JSON: [[base64 key, until], …], oldest first",
        ),
        *_token_validity_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("previous_hash", name="uq_tokens_previous_hash"),
        sa.UniqueConstraint("secret_hash", name="uq_tokens_secret_hash"),
    )


def _tokens_indexes() -> None:
    op.create_index("ix_tokens_version_id", "tokens", ["version", "id"])


def _callback_backlog_columns() -> list[SchemaItem]:
    return [
        sa.Column(
            "on_resume",
            sa.Text(),
            server_default=sa.text("'release'"),
            nullable=False,
            comment="what becomes of held deliveries: release, keep, discard",
        ),
        sa.Column(
            "held_before",
            sa.BigInteger(),
            comment="when it was resumed: deliveries whose age counts from before are still held",
        ),
        sa.Column(
            "backlog_pending",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether its open deliveries still have to be hastened, released or discarded",
        ),
        sa.Column(
            "throttled_until",
            sa.BigInteger(),
            comment="the end of the pause that its receiver asked for; it may have passed long ago",
        ),
        sa.Column(
            "throttled_since",
            sa.BigInteger(),
            comment="since when its receiver takes nothing and asks for pauses; null: it does not",
        ),
        sa.Column(
            "exhausted_alerted_at",
            sa.BigInteger(),
            comment="when the operator was last alerted of an exhausted delivery",
        ),
    ]


def _callback_health_columns() -> list[SchemaItem]:
    return [
        sa.Column(
            "generation",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="counted up by a change or a resume: findings of older generations are void",
        ),
        sa.Column(
            "failing_since",
            sa.BigInteger(),
            comment="since when no attempt succeeds; null: healthy",
        ),
        sa.Column(
            "probe_at", sa.BigInteger(), comment="while failing: when its next probe may be made"
        ),
        sa.Column(
            "probes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="probes that failed since failing_since",
        ),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("disabled_reason", sa.Text()),
        *_callback_backlog_columns(),
    ]


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
        *_callback_health_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_callbacks"),
    )


def _callbacks_indexes() -> None:
    op.create_index(
        "ix_callbacks_backlog_pending",
        "callbacks",
        ["id"],
        postgresql_where=sa.text("backlog_pending"),
        sqlite_where=sa.text("backlog_pending"),
    )
    op.create_index(
        "ix_callbacks_probe_at",
        "callbacks",
        ["probe_at"],
        postgresql_where=sa.text("probe_at IS NOT NULL"),
        sqlite_where=sa.text("probe_at IS NOT NULL"),
    )
    op.create_index(
        "ix_callbacks_throttled_since",
        "callbacks",
        ["throttled_since"],
        postgresql_where=sa.text("throttled_since IS NOT NULL"),
        sqlite_where=sa.text("throttled_since IS NOT NULL"),
    )
    op.create_index("ix_callbacks_token_id_type", "callbacks", ["token_id", "type"], unique=True)


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "type",
            sa.Text(),
            comment="the event type of the callback that was changed; null: the token itself",
        ),
        sa.Column(
            "by",
            sa.Text(),
            nullable=False,
            comment="the id of the token that changed it, or the name of another actor",
        ),
        sa.Column("address", sa.Text(), comment="the client's address; null: at the command line"),
        sa.Column(
            "details",
            sa.Text(),
            nullable=False,
            comment="JSON object: field → [before, after], without secrets",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        comment="The operation log: who changed what on a token, written with the change.",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_log_token_id_id", "audit_log", ["token_id", "id"])


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False, comment="created here, in the order of time"),
        sa.Column(
            "token_id",
            sa.Text(),
            comment="null: only its status was reported yet, and no list shows it",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), comment="the X-Request-Id of the response"),
        sa.Column("method", sa.Text()),
        sa.Column("path", sa.Text(), comment="without its query"),
        sa.Column("status", sa.SmallInteger(), comment="null: not reported yet"),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("address", sa.Text()),
        sa.Column("user_agent", sa.Text()),
        sa.Column("permission", sa.Text(), comment="the permission that it needed; null: none"),
        sa.Column("allowed", sa.Boolean()),
        sa.Column("reason", sa.Text(), comment="why it was not allowed"),
        sa.Column(
            "stands_for",
            sa.Integer(),
            server_default=sa.text("1"),
            nullable=False,
            comment="how many requests this row stands for, itself included",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
        comment="The request log: requests made with a token, here or at the chat platform.",
    )
    op.create_index("ix_requests_token_id_at_id", "requests", ["token_id", "at", "id"])
