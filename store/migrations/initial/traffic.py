"""Tables of traffic: events, deliveries, attempts, and what orders them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem


def create() -> None:
    """Create these tables and their indexes, with the rows that they need."""
    _events()
    _deliveries()
    _deliveries_indexes()
    _attempts()
    _requested_attempts()
    _status_locks()


def _event_content_columns() -> list[SchemaItem]:
    return [
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "conflicts",
            sa.Integer(),
            nullable=False,
            comment="how often other content arrived with the same id",
        ),
        sa.Column(
            "callbacks",
            sa.Text(),
            nullable=False,
            comment="ids of those matched at the first claim, separated by spaces",
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="as sent on every attempt"),
        sa.Column(
            "claimed_at",
            sa.BigInteger(),
            comment="claimed when, by the store's clock: the order of pulling; null: a test",
        ),
    ]


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "via_amqp",
            sa.Boolean(),
            nullable=False,
            comment="published over AMQP, not through the API",
        ),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        *_event_content_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_accepted_at_id", "events", ["accepted_at", "id"])
    op.create_index(
        "ix_events_claimed_at",
        "events",
        ["claimed_at", "accepted_at", "id"],
        postgresql_where=sa.text("claimed_at IS NOT NULL"),
        sqlite_where=sa.text("claimed_at IS NOT NULL"),
    )


def _delivery_order_columns() -> list[SchemaItem]:
    return [
        sa.Column(
            "queued_at",
            sa.BigInteger(),
            comment="from when its age counts; like sequence and the next three, set while open",
        ),
        sa.Column("conversation_id", sa.Text()),
        sa.Column("message_id", sa.Text(), comment="of a message.status event"),
        sa.Column("status", sa.Text(), comment="of a message.status event"),
        sa.Column(
            "awaits_status",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="waits for another status of its message; due_at is a safety net",
        ),
        sa.Column("status_code", sa.SmallInteger(), comment="of the last attempt"),
        sa.Column("outcome", sa.Text(), comment="of the last attempt"),
    ]


def _delivery_schedule_columns() -> list[SchemaItem]:
    return [
        sa.Column(
            "failures", sa.Integer(), nullable=False, comment="automatic attempts that failed"
        ),
        sa.Column(
            "is_retry",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether it shares the slots of retries",
        ),
        sa.Column(
            "lease_count",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how often it was leased since the last recorded outcome",
        ),
        sa.Column(
            "is_recovery",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether its next attempt belongs to a recovery",
        ),
        sa.Column(
            "sequence",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="its order among rows due in the same millisecond",
        ),
        *_delivery_order_columns(),
    ]


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), comment="null when settled"),
        sa.Column(
            "leased",
            sa.Boolean(),
            nullable=False,
            comment="whether due_at is the end of a dispatcher's lease",
        ),
        sa.Column(
            "lease",
            sa.BigInteger(),
            nullable=False,
            comment="the lease's number, counted up at each lease; 0: never leased from this row",
        ),
        *_delivery_schedule_columns(),
        sa.PrimaryKeyConstraint("event_id", "callback_id", name="pk_deliveries"),
    )


def _deliveries_indexes() -> None:
    op.create_index(
        "ix_deliveries_created_at_event_id_callback_id",
        "deliveries",
        ["created_at", "event_id", "callback_id"],
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["callback_id", "is_retry", "due_at", "sequence"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_message",
        "deliveries",
        ["callback_id", "message_id"],
        postgresql_where=sa.text("due_at IS NOT NULL AND message_id IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL AND message_id IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_since",
        "deliveries",
        ["callback_id", "queued_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_token_id_created_at_event_id_callback_id",
        "deliveries",
        ["token_id", "created_at", "event_id", "callback_id"],
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
        sa.Column("status_code", sa.SmallInteger()),
        sa.Column("error", sa.Text()),
        sa.Column(
            "request_headers",
            sa.LargeBinary(),
            nullable=False,
            comment="JSON object, without the callback's own values",
        ),
        sa.Column("response_body", sa.LargeBinary(), nullable=False, comment="its first KiB"),
        sa.PrimaryKeyConstraint("event_id", "callback_id", "id", name="pk_attempts"),
    )


def _requested_attempts() -> None:
    op.create_table(
        "requested_attempts",
        sa.Column("id", sa.Text(), nullable=False, comment="the id of the future attempt"),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_requested_attempts"),
        comment="Attempts requested by people. A row lives until its attempt is recorded.",
    )
    op.create_index("ix_requested_attempts_due_at", "requested_attempts", ["due_at"])


def _status_rank_columns() -> list[SchemaItem]:
    return [
        sa.Column(
            "sent_rank",
            sa.SmallInteger(),
            nullable=False,
            comment="the highest rank that was ever sent; 0: none",
        ),
        sa.Column(
            "done_rank",
            sa.SmallInteger(),
            nullable=False,
            comment="the highest rank that was delivered, or ended after it was sent; 0: none",
        ),
        sa.Column(
            "awaited",
            sa.Boolean(),
            nullable=False,
            comment="whether a status ever had to wait here",
        ),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
    ]


def _status_locks() -> None:
    op.create_table(
        "status_locks",
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column(
            "holder",
            sa.Text(),
            comment="the delivery, with its lease, that may be sent now; null: free",
        ),
        sa.Column(
            "holder_rank",
            sa.SmallInteger(),
            nullable=False,
            comment="the rank of the last holder: if its lease ran out, it may have been sent",
        ),
        sa.Column(
            "held_until", sa.BigInteger(), nullable=False, comment="the end of the holder's lease"
        ),
        *_status_rank_columns(),
        sa.PrimaryKeyConstraint("callback_id", "message_id", name="pk_status_locks"),
        comment="Sends one status at a time (docs/invariants.md#statuses-never-go-backwards).",
    )
