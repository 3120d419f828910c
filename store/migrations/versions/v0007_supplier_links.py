"""Adds the count by which all links to a supplier's page are ended.

Revision: supplier_links
"""

import sqlalchemy as sa
from alembic import op

revision = "supplier_links"
down_revision = "acknowledgements"


def upgrade() -> None:
    """Add the column. A process of the version before leaves it out, and creates tokens with 0."""
    op.add_column(
        "tokens",
        sa.Column(
            "links_ended",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how often all links to the supplier's page were ended: older ones are void",
        ),
    )
