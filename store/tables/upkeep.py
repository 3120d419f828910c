"""Tables of background jobs: recoveries, alerts, leases."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from store.tables.base import metadata

recoveries = Table(
    "recoveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="running, done, cancelled"),
    Column("query", Text, nullable=False, comment="JSON: what to recover"),
    Column("position", Text, comment="where it goes on; null: from the start"),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column(
        "worked_at",
        BigInteger,
        nullable=False,
        comment="when a slice of it was last done: they take turns",
    ),
    Column(
        "slice_rows",
        Integer,
        comment="how much of it is worked on at once, since a slice failed; null: as much as of any",
    ),
    Column("trouble", Text, comment="why its last slice failed; null: it did not"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False, comment="as sent on every attempt"),
    Column("failures", Integer, nullable=False),
    Column(
        "due_at",
        BigInteger,
        nullable=False,
        index=True,
        comment="its next attempt, or the end of the lease of who makes it",
    ),
    comment="Operational events on their way to ALERT_URL; a row lives until it is delivered or given up.",
)

leases = Table(
    "leases",
    metadata,
    Column("id", Text, primary_key=True, comment="what is done by one process at a time"),
    Column(
        "until", BigInteger, nullable=False, comment="the end of the turn of whoever took it last"
    ),
    comment="Whose turn it is, of several dispatchers, to do what one of them is to do.",
)
