"""Adds the views of lists that people save.

Revision: saved_views
"""

import sqlalchemy as sa
from alembic import op

revision = "saved_views"
down_revision = "supplier_links"


def upgrade() -> None:
    """Create the table. A process of the version before does not know it, and leaves the views of
    people whom it removes: no one else sees them.
    """
    op.create_table(
        "saved_views",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="what the person calls it"),
        sa.Column(
            "address",
            sa.Text(),
            nullable=False,
            comment="path and query on these pages",
        ),
        sa.PrimaryKeyConstraint("email", "name", name="pk_saved_views"),
        comment="Lists with their filters, which people come back to.",
    )
