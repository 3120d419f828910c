"""Tables of figures: what was accepted, attempted and settled, by minute and by hour."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from store.tables.base import metadata, where

MERGED = ""
"""The writer of a row that stands for those of all writers."""


def _at(name: str, comment: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False, comment=comment)


def _count(name: str, comment: str | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"), comment=comment)


def _writer() -> Column[str]:
    return Column(
        "writer", Text, primary_key=True, comment="random; no other one ever writes this row"
    )


def _of_attempts() -> list[Column[int] | Column[str] | Column[bytes]]:
    return [
        _count("delivered", "attempts that delivered"),
        _count("failed", "attempts that did not"),
        Column("failures", Text, comment="JSON object: outcome → how many of those; null: none"),
        Column("latency", LargeBinary, comment="how long attempts took, as a histogram"),
        _count("exhausted", "deliveries that ended so, with this attempt or without any"),
        _count("superseded"),
        _count("cancelled"),
    ]


def _of_traffic() -> list[Column[int] | Column[str] | Column[bytes]]:
    return [
        _count("accepted", "events, by when they were accepted"),
        *_of_attempts(),
        Column(
            "first_delay", LargeBinary, comment="from acceptance to first attempt, as a histogram"
        ),
    ]


figure_minutes = Table(
    "figure_minutes",
    metadata,
    _at("minute_at", "the beginning of the minute"),
    Column("type", Text, primary_key=True),
    _writer(),
    *_of_traffic(),
    _count("written_at", "when its writer last wrote it, by the store's clock"),
    Index("ix_figure_minutes_unmerged", "minute_at", **where("writer <> ''")),
    comment="Figures of the last two days. Each row has one writer, so none is ever waited for."
    " Those without a writer are merged ones, which are in the hours too.",
)

figure_hours = Table(
    "figure_hours",
    metadata,
    _at("hour_at", "the beginning of the hour"),
    Column("type", Text, primary_key=True),
    *_of_traffic(),
    comment="The merged minutes of an hour in one row.",
)

figure_callback_hours = Table(
    "figure_callback_hours",
    metadata,
    _at("hour_at", "the beginning of the hour"),
    Column("callback_id", Text, primary_key=True),
    _writer(),
    *_of_attempts(),
    Index(None, "callback_id", "hour_at"),
    Index("ix_figure_callback_hours_unmerged", "hour_at", **where("writer <> ''")),
    comment="Figures of each callback. Older than two days: of all writers in one row.",
)

figure_gauges = Table(
    "figure_gauges",
    metadata,
    _at("minute_at", "the beginning of the minute; older than two days: of the hour"),
    _count("deliveries_due"),
    _count("oldest_due_ms", "for how long the oldest of them has been due"),
    _count("outbox_depth"),
    Column("queue_depth", Integer, comment="messages at the broker; null: none, or unknown"),
    comment="What waited, sampled once a minute; of an hour, the highest. No row: no sample.",
)
