"""Tables of traffic: events, deliveries, attempts, and what orders them."""

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

from store.tables.base import RowId, metadata, where

events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("via_amqp", Boolean, nullable=False, comment="published over AMQP, not through the API"),
    Column("channel_id", Text, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column(
        "conflicts",
        Integer,
        nullable=False,
        comment="how often other content arrived with the same id",
    ),
    Column(
        "callbacks",
        Text,
        nullable=False,
        comment="ids of those matched at the first claim, separated by spaces",
    ),
    Column("body", LargeBinary, nullable=False, comment="as sent on every attempt"),
    Column(
        "claimed_at",
        BigInteger,
        comment="claimed when, by the store's clock: the order of pulling; null: a test",
    ),
    Index(None, "accepted_at", "id"),
    Index(
        "ix_events_claimed_at", "claimed_at", "accepted_at", "id", **where("claimed_at IS NOT NULL")
    ),
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
    Column(
        "leased",
        Boolean,
        nullable=False,
        comment="whether due_at is the end of a dispatcher's lease",
    ),
    Column(
        "lease",
        BigInteger,
        nullable=False,
        comment="the lease's number, counted up at each lease; 0: never leased from this row",
    ),
    Column("failures", Integer, nullable=False, comment="automatic attempts that failed"),
    Column(
        "is_retry",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether it shares the slots of retries",
    ),
    Column(
        "lease_count",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="how often it was leased since the last recorded outcome",
    ),
    Column(
        "is_recovery",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether its next attempt belongs to a recovery",
    ),
    Column(
        "sequence",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="its order among rows due in the same millisecond",
    ),
    Column(
        "queued_at",
        BigInteger,
        comment="from when its age counts; like sequence and the next three, set while open",
    ),
    Column("conversation_id", Text),
    Column("message_id", Text, comment="of a message.status event"),
    Column("status", Text, comment="of a message.status event"),
    Column(
        "awaits_status",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="waits for another status of its message; due_at is a safety net",
    ),
    Column("status_code", SmallInteger, comment="of the last attempt"),
    Column("outcome", Text, comment="of the last attempt"),
    Index(None, "created_at", "event_id", "callback_id"),
    Index(None, "token_id", "created_at", "event_id", "callback_id"),
    Index(
        "ix_deliveries_due",
        "callback_id",
        "is_retry",
        "due_at",
        "sequence",
        **where("due_at IS NOT NULL"),
    ),
    Index("ix_deliveries_since", "callback_id", "queued_at", **where("due_at IS NOT NULL")),
    Index(
        "ix_deliveries_message",
        "callback_id",
        "message_id",
        **where("due_at IS NOT NULL AND message_id IS NOT NULL"),
    ),
    Index(
        "ix_deliveries_undelivered",
        "state",
        "created_at",
        "event_id",
        "callback_id",
        **where("state <> 'delivered'"),
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
    Column(
        "request_headers",
        LargeBinary,
        nullable=False,
        comment="JSON object, without the callback's own values",
    ),
    Column("response_body", LargeBinary, nullable=False, comment="its first KiB"),
    Column(
        "response_headers",
        LargeBinary,
        comment="JSON object, the first 2 KiB; null: no response, or from an older release",
    ),
    Column("address", Text, comment="the socket address that was connected to"),
    Column("dns_ms", Integer, comment="duration of the phase; null: there was none"),
    Column("connect_ms", Integer),
    Column("tls_ms", Integer),
    Column("wait_ms", Integer, comment="from the request until the first byte of the response"),
)

requested_attempts = Table(
    "requested_attempts",
    metadata,
    Column("id", Text, primary_key=True, comment="the id of the future attempt"),
    Column("event_id", Text, nullable=False),
    Column("callback_id", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    comment="Attempts requested by people. A row lives until its attempt is recorded.",
)

status_locks = Table(
    "status_locks",
    metadata,
    Column("callback_id", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column(
        "holder", Text, comment="the delivery, with its lease, that may be sent now; null: free"
    ),
    Column(
        "holder_rank",
        SmallInteger,
        nullable=False,
        comment="the rank of the last holder: if its lease ran out, it may have been sent",
    ),
    Column("held_until", BigInteger, nullable=False, comment="the end of the holder's lease"),
    Column(
        "sent_rank",
        SmallInteger,
        nullable=False,
        comment="the highest rank that was ever sent; 0: none",
    ),
    Column(
        "done_rank",
        SmallInteger,
        nullable=False,
        comment="the highest rank that was delivered, or ended after it was sent; 0: none",
    ),
    Column("awaited", Boolean, nullable=False, comment="whether a status ever had to wait here"),
    Column("touched_at", BigInteger, nullable=False),
    comment="Sends one status at a time (docs/invariants.md#statuses-never-go-backwards).",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, Identity(always=False), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column(
        "leased_until",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="the end of the lease; 0: free",
    ),
    Column("reason", Text, comment="why it is not an event; null: it may be one"),
    Column(
        "via_amqp",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether it came over AMQP; accepted_at is then when it was read",
    ),
    Column(
        "message_id",
        Text,
        comment="the id that came alongside the body; null: none, or it is in the body",
    ),
    # an id is never used again: a late `forget` must not meet another message
    sqlite_autoincrement=True,
    comment="Messages that no broker took. There may be many copies of one event.",
)
