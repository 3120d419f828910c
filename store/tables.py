"""The tables. Times are whole milliseconds since 1970 (`_at`), payloads are bytes, small structures JSON text.

A delivery that succeeds at once is only ever inserted. `due_at` is the one thing that makes a row come back: it is set
while a delivery is open, to when it is next to be looked at: its next attempt, or the end of the lease of who has it now.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Unordered = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared and sorted by its characters' numbers, as SQLite does, whatever the database's locale."""

_RowId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in INTEGER keys


def _where(condition: str) -> dict[str, Any]:
    """Of a partial index."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


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
    Column("mark", Text, nullable=False, comment="made by chance: where it stands no more, this is not the history that it was seen in"),
    comment="The last versions of the directory: who remembers tokens sees by them that the database was restored, or lost transactions.",
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False, comment="the directory version of its last change, callbacks included"),
    Column("name", Text, nullable=False),
    Column("folded", _Unordered, nullable=False, server_default=text("''"), comment="the name without case, as it is searched and sorted"),
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
    Column("expiry_told_days", Integer, comment="how many days before its end its owner was last told"),
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
    Column("probes", Integer, nullable=False, server_default=text("0"), comment="probes that failed since failing_since"),
    Column("disabled_at", BigInteger),
    Column("disabled_reason", Text),
    Column(
        "on_return",
        Text,
        nullable=False,
        server_default=text("'release'"),
        comment="what becomes of held deliveries: release, keep, discard",
    ),
    Column("held_before", BigInteger, comment="open deliveries whose age counts from before this are still held: it came back then"),
    Column(
        "reviving",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="it works again, or came back: its open deliveries are still being hastened, released, parked or discarded",
    ),
    Column(
        "throttled_until", BigInteger, comment="nothing automatic is sent before this, as its receiver asked; it may have passed long ago"
    ),
    Column("throttled_since", BigInteger, comment="since when it takes nothing and asks for that; null: it took something since"),
    Column("exhausted_told_at", BigInteger, comment="when its owner was last told of an exhausted delivery"),
    Index(None, "token_id", "type", unique=True),
    Index("ix_callbacks_probe_at", "probe_at", **_where("probe_at IS NOT NULL")),
    Index("ix_callbacks_throttled_since", "throttled_since", **_where("throttled_since IS NOT NULL")),
    Index("ix_callbacks_reviving", "id", **_where("reviving")),
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
    Column("taken_at", BigInteger, comment="when it was claimed, by the store's clock: the order in which it is pulled; null: a test"),
    Index(None, "accepted_at", "id"),
    Index("ix_events_taken_at", "taken_at", "accepted_at", "id", **_where("taken_at IS NOT NULL")),
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
    Column("tried", Boolean, nullable=False, server_default=text("false"), comment="whether it shares the slots of repeats"),
    Column("takes", Integer, nullable=False, server_default=text("0"), comment="how often it was taken since anything was found out"),
    Column("recovering", Boolean, nullable=False, server_default=text("false"), comment="its next attempt is a recovery's"),
    Column("turn", BigInteger, nullable=False, server_default=text("0"), comment="its place among rows due in the same millisecond"),
    Column("since_at", BigInteger, comment="from when its age counts; this, the next three and turn are set while it is open"),
    Column("conversation_id", Text),
    Column("message_id", Text, comment="of a message.status"),
    Column("status", Text, comment="of a message.status"),
    Column(
        "waits", Boolean, nullable=False, server_default=text("false"), comment="for another status of its message; due_at is a safety net"
    ),
    Column("status_code", SmallInteger, comment="of the last attempt"),
    Column("outcome", Text, comment="of the last attempt"),
    Index(None, "created_at", "event_id", "callback_id"),
    Index(None, "token_id", "created_at", "event_id", "callback_id"),
    Index("ix_deliveries_due", "callback_id", "tried", "due_at", "turn", **_where("due_at IS NOT NULL")),
    Index("ix_deliveries_since", "callback_id", "since_at", **_where("due_at IS NOT NULL")),
    Index("ix_deliveries_message", "callback_id", "message_id", **_where("due_at IS NOT NULL AND message_id IS NOT NULL")),
    Index("ix_deliveries_undelivered", "state", "created_at", "event_id", "callback_id", **_where("state <> 'delivered'")),
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

status_places = Table(
    "status_places",
    metadata,
    Column("callback_id", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("holder", Text, comment="the delivery, under its lease, that may be sent now; null: free"),
    Column("holder_rank", SmallInteger, nullable=False, comment="of the last holder: sent, for all that is known, when its lease ran out"),
    Column("held_until", BigInteger, nullable=False, comment="the end of the holder's lease"),
    Column("sent_rank", SmallInteger, nullable=False, comment="the highest rank that was ever sent; 0: none"),
    Column("done_rank", SmallInteger, nullable=False, comment="the highest that was delivered, or ended after it was sent; 0: none"),
    Column("awaited", Boolean, nullable=False, comment="whether a status ever had to wait here"),
    Column("touched_at", BigInteger, nullable=False),
    comment="Rule 13: of a callback and a message, one status is sent at a time, and none below one that may have arrived.",
)

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
    Column("worked_at", BigInteger, nullable=False, comment="when a slice of it was last done: they take turns"),
    Column("slice_rows", Integer, comment="how much of it is worked on at once, since a slice failed; null: as much as of any"),
    Column("trouble", Text, comment="why its last slice failed; null: it did not"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False, comment="as sent on every attempt"),
    Column("failures", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True, comment="its next attempt, or the end of the lease of who makes it"),
    comment="Operational events on their way to ALERT_URL; a row lives until it is delivered or given up.",
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
    Column("stands_for", Integer, nullable=False, server_default=text("1"), comment="how many requests, itself among them"),
    Index(None, "token_id", "at", "id"),
    comment="The request log: every request made with a token, here or as the chat platform reported it.",
)

changes = Table(
    "changes",
    metadata,
    Column("id", _RowId, Identity(always=False), primary_key=True),
    Column("token_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("type", Text, comment="of the callback that was changed; null: the token itself"),
    Column("by", Text, nullable=False, comment="a token's id, or who else it was"),
    Column("address", Text, comment="from where; null: at the command line"),
    Column("details", Text, nullable=False, comment="JSON object: field → [before, after], without secrets"),
    Index(None, "token_id", "id"),
    sqlite_autoincrement=True,
    comment="The operation log: who changed what on a token. Written in the transaction of the change.",
)

turns = Table(
    "turns",
    metadata,
    Column("id", Text, primary_key=True, comment="what is done by one process at a time"),
    Column("until", BigInteger, nullable=False, comment="the end of the turn of whoever took it last"),
    comment="Whose turn it is, of several dispatchers, to do what one of them is to do.",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _RowId, Identity(always=False), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("leased_until", BigInteger, nullable=False, server_default=text("0"), comment="0: free"),
    Column("reason", Text, comment="why it is no event; null: it may be one"),
    Column("directly", Boolean, nullable=False, server_default=text("false"), comment="by AMQP; accepted_at is when it was taken in"),
    Column("message_id", Text, comment="the id that stood beside the body; null: none, or it is in the body"),
    sqlite_autoincrement=True,  # an id is never used again: a late `forget` must not meet another message
    comment="Messages that no broker took. Many copies of one event may stand here.",
)
