"""Tables of upkeep: recoveries, alerts, leases of jobs, failures that a person acknowledged."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from store.tables.base import metadata

recoveries = Table(
    "recoveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="running, done, cancelled"),
    Column("query", Text, nullable=False, comment="JSON: what to recover"),
    Column("position", Text, comment="where it continues; null: at the start"),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column(
        "worked_at",
        BigInteger,
        nullable=False,
        comment="when a slice of it was last done: recoveries take turns",
    ),
    Column(
        "slice_rows",
        Integer,
        comment="rows of its next slice, since a slice failed; null: the usual number",
    ),
    Column("trouble", Text, comment="why its last slice failed; null: it succeeded"),
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
        comment="its next attempt, or the end of the lease of the dispatcher that makes it",
    ),
    comment="Alerts on their way to ALERT_URL. A row lives until it is sent or given up.",
)

leases = Table(
    "leases",
    metadata,
    Column("id", Text, primary_key=True, comment="the task, done by one process at a time"),
    Column("until", BigInteger, nullable=False, comment="the end of the last lease"),
    comment="Leases of tasks that one of several dispatchers is to do.",
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("callback_id", Text, primary_key=True),
    Column(
        "kind", Text, primary_key=True, comment="an HTTP status, an outcome, or nothing: unknown"
    ),
    Column("at", BigInteger, nullable=False, comment="what began to fail later is not covered"),
    Column("by", Text, nullable=False, comment="user: and an e-mail"),
    Column("note", Text, nullable=False),
    Index(None, "at"),
    comment="Failures that a person knows of. A row is void once its callback worked again.",
)
