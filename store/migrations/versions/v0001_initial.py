"""Creates the tables of 0.1.0.

Revision: initial
"""

from store.migrations.initial import access, traffic, upkeep

revision = "initial"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    access.create()
    traffic.create()
    upkeep.create()
