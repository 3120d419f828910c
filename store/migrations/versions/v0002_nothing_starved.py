"""Health of callbacks, fair shares of due rows, places of statuses, recoveries and alerts.

Revision: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


# Statuses that are open already keep no message: they are not put in order.
_OPEN_ROWS = """
UPDATE deliveries SET tried = failures > 0, since_at = created_at,
    conversation_id = (SELECT conversation_id FROM events WHERE events.id = deliveries.event_id)
WHERE due_at IS NOT NULL
"""


def upgrade() -> None:
    _callbacks()
    _deliveries()
    _status_places()
    _recoveries()
    _alerts()


def _callbacks() -> None:
    _add(
        "callbacks",
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="counted up when it is changed or comes back: what an attempt of an older one found out says nothing about it",
        ),
        sa.Column("failing_since", sa.BigInteger(), comment="since when nothing succeeds; null: healthy"),
        sa.Column("probe_at", sa.BigInteger(), comment="while failing: when its next probe may be made"),
        sa.Column("probes", sa.Integer(), nullable=False, server_default=sa.text("0"), comment="probes that failed since failing_since"),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column(
            "on_return",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'release'"),
            comment="what becomes of held deliveries: release, keep, discard",
        ),
        sa.Column(
            "held_before", sa.BigInteger(), comment="open deliveries whose age counts from before this are still held: it came back then"
        ),
        sa.Column(
            "reviving",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="it works again, or came back: its open deliveries are still being hastened, released, parked or discarded",
        ),
        sa.Column("exhausted_told_at", sa.BigInteger(), comment="when its owner was last told of an exhausted delivery"),
    )
    _index("callbacks", "ix_callbacks_probe_at", ["probe_at"], "probe_at IS NOT NULL")
    _index("callbacks", "ix_callbacks_reviving", ["id"], "reviving")
    _add("tokens", sa.Column("expiry_told_days", sa.Integer(), comment="how many days before its end its owner was last told"))


def _deliveries() -> None:
    no = sa.text("false")
    _add(
        "deliveries",
        sa.Column("tried", sa.Boolean(), nullable=False, server_default=no, comment="whether it shares the slots of repeats"),
        sa.Column(
            "takes",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("0"),
            comment="how often it was taken since anything was found out",
        ),
        sa.Column("recovering", sa.Boolean(), nullable=False, server_default=no, comment="its next attempt is a recovery's"),
        sa.Column(
            "turn",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="its place among rows due in the same millisecond",
        ),
        sa.Column("since_at", sa.BigInteger(), comment="from when its age counts; this, the next three and turn are set while it is open"),
        sa.Column("conversation_id", sa.Text()),
        sa.Column("message_id", sa.Text(), comment="of a message.status"),
        sa.Column("status", sa.Text(), comment="of a message.status"),
        sa.Column(
            "waits", sa.Boolean(), nullable=False, server_default=no, comment="for another status of its message; due_at is a safety net"
        ),
    )
    op.execute(_OPEN_ROWS)
    op.drop_index("ix_deliveries_due", "deliveries")
    _index("deliveries", "ix_deliveries_due", ["callback_id", "tried", "due_at", "turn"], "due_at IS NOT NULL")
    _index("deliveries", "ix_deliveries_since", ["callback_id", "since_at"], "due_at IS NOT NULL")
    _index("deliveries", "ix_deliveries_message", ["callback_id", "message_id"], "due_at IS NOT NULL AND message_id IS NOT NULL")


def _status_places() -> None:
    op.create_table(
        "status_places",
        sa.Column("callback_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), comment="the delivery, under its lease, that may be sent now; null: free"),
        sa.Column(
            "holder_rank",
            sa.SmallInteger(),
            nullable=False,
            comment="of the last holder: sent, for all that is known, when its lease ran out",
        ),
        sa.Column("held_until", sa.BigInteger(), nullable=False, comment="the end of the holder's lease"),
        sa.Column("sent_rank", sa.SmallInteger(), nullable=False, comment="the highest rank that was ever sent; 0: none"),
        sa.Column(
            "done_rank", sa.SmallInteger(), nullable=False, comment="the highest that was delivered, or ended after it was sent; 0: none"
        ),
        sa.Column("awaited", sa.Boolean(), nullable=False, comment="whether a status ever had to wait here"),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("callback_id", "message_id", name="pk_status_places"),
        comment="Rule 13: of a callback and a message, one status is sent at a time, and none below one that may have arrived.",
    )


def _recoveries() -> None:
    op.create_table(
        "recoveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="running, done, cancelled"),
        sa.Column("query", sa.Text(), nullable=False, comment="JSON: what to recover"),
        sa.Column("position", sa.Text(), comment="where it goes on; null: from the start"),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("worked_at", sa.BigInteger(), nullable=False, comment="when a slice of it was last done: they take turns"),
        sa.PrimaryKeyConstraint("id", name="pk_recoveries"),
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="as sent on every attempt"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="its next attempt, or the end of the lease of who makes it"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        comment="Operational events on their way to ALERT_URL; a row lives until it is delivered or given up.",
    )
    op.create_index("ix_alerts_due_at", "alerts", ["due_at"])


def _add(table: str, *columns: sa.Column[Any]) -> None:
    for column in columns:
        op.add_column(table, column)


def _index(table: str, name: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
