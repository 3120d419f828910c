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
    comment="One row, raised by every change to tokens or callbacks; its lock orders them.",
)

directory_marks = Table(
    "directory_marks",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "mark",
        Text,
        nullable=False,
        comment="random; a process whose mark is gone knows another history",
    ),
    comment="The latest versions of the directory, to notice that the database was restored.",
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
        comment="SHA-256 of the token before a regeneration with overlap",
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
        comment="how many days before its end the operator was last alerted",
    ),
    Column("contact", Text, comment="e-mail address for what concerns this token"),
    Column(
        "links_ended",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="how often all links to the supplier's page were ended: older ones are void",
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
        comment="counted up by a change or a resume: findings of older generations are void",
    ),
    Column("failing_since", BigInteger, comment="since when no attempt succeeds; null: healthy"),
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
        comment="when it was resumed: deliveries whose age counts from before are still held",
    ),
    Column(
        "backlog_pending",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether its open deliveries still have to be hastened, released or discarded",
    ),
    Column(
        "throttled_until",
        BigInteger,
        comment="the end of the pause that its receiver asked for; it may have passed long ago",
    ),
    Column(
        "throttled_since",
        BigInteger,
        comment="since when its receiver takes nothing and asks for pauses; null: it does not",
    ),
    Column(
        "exhausted_alerted_at",
        BigInteger,
        comment="when the operator was last alerted of an exhausted delivery",
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
    Column(
        "type",
        Text,
        comment="the event type of the callback that was changed; null: the token itself",
    ),
    Column(
        "by",
        Text,
        nullable=False,
        comment="the id of the token that changed it, or the name of another actor",
    ),
    Column("address", Text, comment="the client's address; null: at the command line"),
    Column(
        "details",
        Text,
        nullable=False,
        comment="JSON object: field → [before, after], without secrets",
    ),
    Index(None, "token_id", "id"),
    sqlite_autoincrement=True,
    comment="The operation log: who changed what on a token, written with the change.",
)

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True, comment="created here, in the order of time"),
    Column(
        "token_id", Text, comment="null: only its status was reported yet, and no list shows it"
    ),
    Column("at", BigInteger, nullable=False),
    Column("request_id", Text, comment="the X-Request-Id of the response"),
    Column("method", Text),
    Column("path", Text, comment="without its query"),
    Column("status", SmallInteger, comment="null: not reported yet"),
    Column("duration_ms", BigInteger),
    Column("address", Text),
    Column("user_agent", Text),
    Column("permission", Text, comment="the permission that it needed; null: none"),
    Column("allowed", Boolean),
    Column("reason", Text, comment="why it was not allowed"),
    Column(
        "stands_for",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="how many requests this row stands for, itself included",
    ),
    Index(None, "token_id", "at", "id"),
    comment="The request log: requests made with a token, here or at the chat platform.",
)
