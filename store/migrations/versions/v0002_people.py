"""Adds the people who sign in to the pages, tokens' contacts, and what an attempt met.

Revision: people
"""

import sqlalchemy as sa
from alembic import op

revision = "people"
down_revision = "initial"


def upgrade() -> None:
    """Add the tables and columns."""
    _people()
    _sessions()
    op.add_column(
        "tokens",
        sa.Column("contact", sa.Text(), comment="e-mail address for what concerns this token"),
    )
    for column in _of_an_attempt():
        op.add_column("attempts", column)


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("email", sa.Text(), nullable=False, comment="in lower case"),
        sa.Column("role", sa.Text(), nullable=False, comment="admin, viewer"),
        sa.Column("password_hash", sa.Text(), comment="null: cannot sign in by password"),
        sa.Column("language", sa.Text(), comment="null: as the browser asks"),
        sa.Column("zone", sa.Text(), comment="time zone of dates and times; null: UTC"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("email", name="pk_people"),
        comment="Who may sign in to the pages.",
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column(
            "id", sa.Text(), nullable=False, comment="as it is shown; not what the cookie holds"
        ),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False, comment="to a minute"),
        sa.Column("confirmed_at", sa.BigInteger(), comment="when the password was last given"),
        sa.Column("address", sa.Text()),
        sa.Column("user_agent", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("secret_hash", name="uq_sessions_secret_hash"),
        comment="Who is signed in, and from where.",
    )
    op.create_index("ix_sessions_email", "sessions", ["email"])
    op.create_table(
        "sign_in_links",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), comment="null: makes the first administrator"),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_sign_in_links"),
        comment="Links that sign in once. A row lives until it is used, or has expired.",
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("key", sa.Text(), nullable=False, comment="an account or an address"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_sign_in_failures"),
        comment="Failed attempts to sign in, counted over all processes.",
    )


def _of_an_attempt() -> list[sa.Column[object]]:
    return [
        sa.Column(
            "response_headers",
            sa.LargeBinary(),
            comment="JSON object, the first 2 KiB; null: no response, or from an older release",
        ),
        sa.Column("address", sa.Text(), comment="the socket address that was connected to"),
        sa.Column("dns_ms", sa.Integer(), comment="duration of the phase; null: there was none"),
        sa.Column("connect_ms", sa.Integer()),
        sa.Column("tls_ms", sa.Integer()),
        sa.Column(
            "wait_ms",
            sa.Integer(),
            comment="from the request until the first byte of the response",
        ),
    ]
