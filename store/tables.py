"""The tables. Times are whole milliseconds since 1970 (`_at`), payloads are bytes, small structures JSON text.

A delivery that succeeds at once is only ever inserted. `due_at` is the one thing that makes a row come back: it is set
while a delivery is open, to when it is next to be looked at: its next attempt, or the end of the lease of who has it now.
"""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_RowId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in INTEGER keys

directory_version = Table(
    "directory_version",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    comment="One row, raised in the transaction of every change to tokens or callbacks; its row lock puts those in order.",
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False, index=True, comment="the directory version of its last change, callbacks included"),
    Column("name", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("previous_hash", LargeBinary, unique=True, comment="of the token before a regeneration with overlap"),
    Column("previous_until", BigInteger),
    Column("signing_secrets", LargeBinary, nullable=False, comment="encrypted JSON: [[base64 key, until], …], oldest first"),
    Column("permissions", Text, nullable=False, comment="JSON list"),
    Column("channels", Text, comment="JSON list; null: all"),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("activates_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("headers", LargeBinary, nullable=False, comment="encrypted JSON object"),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "token_id", "type", unique=True),
)

events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("directly", Boolean, nullable=False, comment="published by AMQP, not through the API"),
    Column("channel_id", Text, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("conflicts", Integer, nullable=False, comment="how often other content came under the same id"),
    Column("callbacks", Text, nullable=False, comment="ids of those matched at the first claim, separated by spaces"),
    Column("body", LargeBinary, nullable=False, comment="as sent on every attempt"),
    Index(None, "accepted_at", "id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("callback_id", Text, primary_key=True),
    Column("token_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, comment="null when settled"),
    Column("leased", Boolean, nullable=False, comment="whether due_at is the end of somebody's lease"),
    Column("lease", BigInteger, nullable=False, comment="counted up at each take; 0: never taken from here"),
    Column("failures", Integer, nullable=False, comment="automatic attempts that failed"),
    Column("status_code", SmallInteger, comment="of the last attempt"),
    Column("outcome", Text, comment="of the last attempt"),
    Index(None, "created_at", "event_id", "callback_id"),
    Index(None, "token_id", "created_at", "event_id", "callback_id"),
    Index(
        "ix_deliveries_due", "callback_id", "due_at", postgresql_where=text("due_at IS NOT NULL"), sqlite_where=text("due_at IS NOT NULL")
    ),
    Index(
        "ix_deliveries_undelivered",
        "state",
        "created_at",
        "event_id",
        "callback_id",
        postgresql_where=text("state <> 'delivered'"),
        sqlite_where=text("state <> 'delivered'"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("callback_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status_code", SmallInteger),
    Column("error", Text),
    Column("request_headers", LargeBinary, nullable=False, comment="JSON object, without the callback's own values"),
    Column("response_body", LargeBinary, nullable=False, comment="its first KiB"),
)

requested_attempts = Table(
    "requested_attempts",
    metadata,
    Column("id", Text, primary_key=True, comment="of the attempt to be"),
    Column("event_id", Text, nullable=False),
    Column("callback_id", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    comment="Attempts that somebody asked for, beside the automatic ones; a row lives until its attempt is recorded.",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _RowId, Identity(always=False), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("leased_until", BigInteger, nullable=False, server_default=text("0"), comment="0: free"),
    Column("reason", Text, comment="why it is no event; null: it may be one"),
    sqlite_autoincrement=True,  # an id is never used again: a late `forget` must not meet another message
    comment="Messages that no broker took. Many copies of one event may stand here.",
)
