"""Tables of background jobs: recoveries, alerts, leases, the outbox."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create these tables and their indexes, with the rows that they need."""
    _recoveries()
    _alerts()
    _leases()
    _outbox()


def _recoveries() -> None:
    op.create_table(
        "recoveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="running, done, cancelled"),
        sa.Column("query", sa.Text(), nullable=False, comment="JSON: what to recover"),
        sa.Column("position", sa.Text(), comment="where it continues; null: at the start"),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "worked_at",
            sa.BigInteger(),
            nullable=False,
            comment="when a slice of it was last done: recoveries take turns",
        ),
        sa.Column(
            "slice_rows",
            sa.Integer(),
            comment="rows of its next slice, since a slice failed; null: the usual number",
        ),
        sa.Column("trouble", sa.Text(), comment="why its last slice failed; null: it succeeded"),
        sa.PrimaryKeyConstraint("id", name="pk_recoveries"),
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="as sent on every attempt"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column(
            "due_at",
            sa.BigInteger(),
            nullable=False,
            comment="its next attempt, or the end of the lease of the dispatcher that makes it",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        comment="Alerts on their way to ALERT_URL. A row lives until it is sent or given up.",
    )
    op.create_index("ix_alerts_due_at", "alerts", ["due_at"])


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column(
            "id", sa.Text(), nullable=False, comment="the task, done by one process at a time"
        ),
        sa.Column(
            "until",
            sa.BigInteger(),
            nullable=False,
            comment="the end of the last lease",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
        comment="Leases of tasks that one of several dispatchers is to do.",
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "leased_until",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="the end of the lease; 0: free",
        ),
        sa.Column("reason", sa.Text(), comment="why it is not an event; null: it may be one"),
        sa.Column(
            "via_amqp",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether it came over AMQP; accepted_at is then when it was read",
        ),
        sa.Column(
            "message_id",
            sa.Text(),
            comment="the id that came alongside the body; null: none, or it is in the body",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        comment="Messages that no broker took. There may be many copies of one event.",
        sqlite_autoincrement=True,
    )
