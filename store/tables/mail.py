"""Tables of mail to administrators and to tokens' contacts."""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Integer, Table, Text, text

from store.tables.base import RowId, metadata

mails = Table(
    "mails",
    metadata,
    Column("id", RowId, Identity(always=False), primary_key=True),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column(
        "due_at",
        BigInteger,
        nullable=False,
        index=True,
        comment="its next attempt, or the end of the lease of the dispatcher that makes it",
    ),
    # an id is never used again: a late `forget` must not meet another mail
    sqlite_autoincrement=True,
    comment="Mail on its way. A row lives until it is sent or given up.",
)

mail_notices = Table(
    "mail_notices",
    metadata,
    Column("key", Text, primary_key=True, comment="what was written about, and since when"),
    Column("subject_id", Text, nullable=False, index=True, comment="the callback or the token"),
    Column("at", BigInteger, nullable=False),
    Column(
        "is_open",
        Boolean,
        nullable=False,
        comment="whether it is still to be written that this is over",
    ),
    comment="What was written about already.",
)
