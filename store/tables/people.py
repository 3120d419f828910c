"""Tables of the people who sign in to the pages, and of their sessions."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from store.tables.base import RowId, metadata

people = Table(
    "people",
    metadata,
    Column("email", Text, primary_key=True, comment="in lower case"),
    Column("role", Text, nullable=False, comment="admin, viewer"),
    Column("password_hash", Text, comment="null: cannot sign in by password"),
    Column("language", Text, comment="null: as the browser asks"),
    Column("zone", Text, comment="time zone of dates and times; null: UTC"),
    Column("created_at", BigInteger, nullable=False),
    Column(
        "wants_mail",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="whether an administrator gets mail about callbacks and tokens",
    ),
    comment="Who may sign in to the pages.",
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True, comment="as it is shown; not what the cookie holds"),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    Column("email", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False, comment="to a minute"),
    Column("confirmed_at", BigInteger, comment="when the password was last given"),
    Column("address", Text),
    Column("user_agent", Text),
    Index(None, "email"),
    comment="Who is signed in, and from where.",
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("secret_hash", LargeBinary, primary_key=True),
    Column("email", Text, comment="null: makes the first administrator"),
    Column("expires_at", BigInteger, nullable=False),
    comment="Links that sign in once. A row lives until it is used, or has expired.",
)

saved_views = Table(
    "saved_views",
    metadata,
    Column("email", Text, primary_key=True),
    Column("name", Text, primary_key=True, comment="what the person calls it"),
    Column("address", Text, nullable=False, comment="path and query on these pages"),
    comment="Lists with their filters, which people come back to.",
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("key", Text, primary_key=True, comment="an account or an address"),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index(None, "last_at"),
    comment="Failed attempts to sign in, counted over all processes.",
)

people_log = Table(
    "people_log",
    metadata,
    Column("id", RowId, Identity(always=False), primary_key=True),
    Column("email", Text, nullable=False, comment="the person to whom it was done"),
    Column("at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("by", Text, nullable=False, comment="user: and an e-mail, or the name of another actor"),
    Column("address", Text, comment="the client's address; null: at the command line"),
    Column(
        "details",
        Text,
        nullable=False,
        comment="JSON object: field → [before, after], without secrets",
    ),
    Index(None, "email", "id"),
    sqlite_autoincrement=True,
    comment="Who did what to the people who sign in, written with the change.",
)
