"""Tables of tokens: the directory, tokens, callbacks, and the logs about them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from store.tables.base import RowId, Unordered, metadata, where

directory_version = Table(
    "directory_version",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    comment="One row, raised in the transaction of every change to tokens or callbacks; its row lock puts those in order.",
)

directory_marks = Table(
    "directory_marks",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "mark",
        Text,
        nullable=False,
        comment="made by chance: where it stands no more, this is not the history that it was seen in",
    ),
    comment="The last versions of the directory: who remembers tokens sees by them that the database was restored, or lost transactions.",
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "version",
        BigInteger,
        nullable=False,
        comment="the directory version of its last change, callbacks included",
    ),
    Column("name", Text, nullable=False),
    Column(
        "folded",
        Unordered,
        nullable=False,
        server_default=text("''"),
        comment="the name without case, as it is searched and sorted",
    ),
    Column("hint", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column(
        "previous_hash",
        LargeBinary,
        unique=True,
        comment="of the token before a regeneration with overlap",
    ),
    Column("previous_until", BigInteger),
    Column(
        "signing_secrets",
        LargeBinary,
        nullable=False,
        comment="encrypted JSON: [[base64 key, until], …], oldest first",
    ),
    Column("permissions", Text, nullable=False, comment="JSON list"),
    Column("channels", Text, comment="JSON list; null: all"),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("activates_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column(
        "expiry_alerted_days",
        Integer,
        comment="how many days before its end its owner was last told",
    ),
    Index(None, "version", "id"),
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
    Column(
        "generation",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="counted up when it is changed or comes back: what an attempt of an older one found out says nothing about it",
    ),
    Column("failing_since", BigInteger, comment="since when nothing succeeds; null: healthy"),
    Column("probe_at", BigInteger, comment="while failing: when its next probe may be made"),
    Column(
        "probes",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="probes that failed since failing_since",
    ),
    Column("disabled_at", BigInteger),
    Column("disabled_reason", Text),
    Column(
        "on_resume",
        Text,
        nullable=False,
        server_default=text("'release'"),
        comment="what becomes of held deliveries: release, keep, discard",
    ),
    Column(
        "held_before",
        BigInteger,
        comment="open deliveries whose age counts from before this are still held: it came back then",
    ),
    Column(
        "backlog_pending",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="it works again, or came back: its open deliveries are still being hastened, released, parked or discarded",
    ),
    Column(
        "throttled_until",
        BigInteger,
        comment="nothing automatic is sent before this, as its receiver asked; it may have passed long ago",
    ),
    Column(
        "throttled_since",
        BigInteger,
        comment="since when it takes nothing and asks for that; null: it took something since",
    ),
    Column(
        "exhausted_alerted_at",
        BigInteger,
        comment="when its owner was last told of an exhausted delivery",
    ),
    Index(None, "token_id", "type", unique=True),
    Index("ix_callbacks_probe_at", "probe_at", **where("probe_at IS NOT NULL")),
    Index(
        "ix_callbacks_throttled_since", "throttled_since", **where("throttled_since IS NOT NULL")
    ),
    Index("ix_callbacks_backlog_pending", "id", **where("backlog_pending")),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", RowId, Identity(always=False), primary_key=True),
    Column("token_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("type", Text, comment="of the callback that was changed; null: the token itself"),
    Column("by", Text, nullable=False, comment="a token's id, or who else it was"),
    Column("address", Text, comment="from where; null: at the command line"),
    Column(
        "details",
        Text,
        nullable=False,
        comment="JSON object: field → [before, after], without secrets",
    ),
    Index(None, "token_id", "id"),
    sqlite_autoincrement=True,
    comment="The operation log: who changed what on a token. Written in the transaction of the change.",
)

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True, comment="ours, made in the order of time"),
    Column("token_id", Text, comment="null: only its status was reported yet, and nobody sees it"),
    Column("at", BigInteger, nullable=False),
    Column("request_id", Text, comment="the X-Request-Id of the answer"),
    Column("method", Text),
    Column("path", Text, comment="without its query"),
    Column("status", SmallInteger, comment="null: not reported yet"),
    Column("duration_ms", BigInteger),
    Column("address", Text),
    Column("user_agent", Text),
    Column("permission", Text, comment="that was asked for; null: none"),
    Column("allowed", Boolean),
    Column("reason", Text, comment="why not"),
    Column(
        "stands_for",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="how many requests, itself among them",
    ),
    Index(None, "token_id", "at", "id"),
    comment="The request log: every request made with a token, here or as the chat platform reported it.",
)
