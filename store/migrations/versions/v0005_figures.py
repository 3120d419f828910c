"""Adds the figures of traffic, by minute and by hour, for the pages.

Revision: figures
"""

import sqlalchemy as sa
from alembic import op

revision = "figures"
down_revision = "mail"


def upgrade() -> None:
    """Create the tables."""
    _minutes()
    _hours()
    _callback_hours()
    _gauges()


def _minutes() -> None:
    op.create_table(
        "figure_minutes",
        _at("minute_at", "the beginning of the minute"),
        sa.Column("type", sa.Text(), nullable=False),
        _writer(),
        *_of_traffic(),
        _count("written_at", "when its writer last wrote it, by the store's clock"),
        sa.PrimaryKeyConstraint("minute_at", "type", "writer", name="pk_figure_minutes"),
        comment="Figures of the last two days. Each row has one writer, so none is ever waited for."
        " Those without a writer are merged ones, which are in the hours too.",
    )
    _index_of_unmerged("figure_minutes", "minute_at")


def _hours() -> None:
    op.create_table(
        "figure_hours",
        _at("hour_at", "the beginning of the hour"),
        sa.Column("type", sa.Text(), nullable=False),
        *_of_traffic(),
        sa.PrimaryKeyConstraint("hour_at", "type", name="pk_figure_hours"),
        comment="The merged minutes of an hour in one row.",
    )


def _callback_hours() -> None:
    name = "figure_callback_hours"
    op.create_table(
        name,
        _at("hour_at", "the beginning of the hour"),
        sa.Column("callback_id", sa.Text(), nullable=False),
        _writer(),
        *_of_attempts(),
        sa.PrimaryKeyConstraint(
            "hour_at", "callback_id", "writer", name="pk_figure_callback_hours"
        ),
        comment="Figures of each callback. Older than two days: of all writers in one row.",
    )
    op.create_index(
        "ix_figure_callback_hours_callback_id_hour_at", name, ["callback_id", "hour_at"]
    )
    _index_of_unmerged(name, "hour_at")


def _index_of_unmerged(table: str, column: str) -> None:
    unmerged = sa.text("writer <> ''")
    op.create_index(
        f"ix_{table}_unmerged",
        table,
        [column],
        postgresql_where=unmerged,
        sqlite_where=unmerged,
    )


def _gauges() -> None:
    op.create_table(
        "figure_gauges",
        _at("minute_at", "the beginning of the minute; older than two days: of the hour"),
        _count("deliveries_due"),
        _count("oldest_due_ms", "for how long the oldest of them has been due"),
        _count("outbox_depth"),
        sa.Column(
            "queue_depth", sa.Integer(), comment="messages at the broker; null: none, or unknown"
        ),
        sa.PrimaryKeyConstraint("minute_at", name="pk_figure_gauges"),
        comment="What waited, sampled once a minute; of an hour, the highest. No row: no sample.",
    )


def _at(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def _writer() -> sa.Column[str]:
    return sa.Column(
        "writer", sa.Text(), nullable=False, comment="random; no other one ever writes this row"
    )


def _count(name: str, comment: str | None = None) -> sa.Column[int]:
    return sa.Column(
        name, sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment=comment
    )


def _of_attempts() -> list[sa.Column[int] | sa.Column[str] | sa.Column[bytes]]:
    return [
        _count("delivered", "attempts that delivered"),
        _count("failed", "attempts that did not"),
        sa.Column(
            "failures", sa.Text(), comment="JSON object: outcome → how many of those; null: none"
        ),
        sa.Column("latency", sa.LargeBinary(), comment="how long attempts took, as a histogram"),
        _count("exhausted", "deliveries that ended so, with this attempt or without any"),
        _count("superseded"),
        _count("cancelled"),
    ]


def _of_traffic() -> list[sa.Column[int] | sa.Column[str] | sa.Column[bytes]]:
    return [
        _count("accepted", "events, by when they were accepted"),
        *_of_attempts(),
        sa.Column(
            "first_delay",
            sa.LargeBinary(),
            comment="from acceptance to first attempt, as a histogram",
        ),
    ]
