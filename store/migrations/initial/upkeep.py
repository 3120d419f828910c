"""Tables of background jobs: recoveries, alerts, leases."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create these tables and their indexes, with the rows that they need."""
    _recoveries()
    _alerts()
    _leases()


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
        sa.Column(
            "worked_at",
            sa.BigInteger(),
            nullable=False,
            comment="when a slice of it was last done: they take turns",
        ),
        sa.Column(
            "slice_rows",
            sa.Integer(),
            comment="how much of it is worked on at once, since a slice failed; null: as much as of any",
        ),
        sa.Column("trouble", sa.Text(), comment="why its last slice failed; null: it did not"),
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
            comment="its next attempt, or the end of the lease of who makes it",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        comment="Operational events on their way to ALERT_URL; a row lives until it is delivered or given up.",
    )
    op.create_index("ix_alerts_due_at", "alerts", ["due_at"])


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.Text(), nullable=False, comment="what is done by one process at a time"),
        sa.Column(
            "until",
            sa.BigInteger(),
            nullable=False,
            comment="the end of the turn of whoever took it last",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
        comment="Whose turn it is, of several dispatchers, to do what one of them is to do.",
    )
