"""Which messages of the outbox a backend published to the broker itself, and the id that it put beside the body.

A process of the version before takes such a message for one of the API's, as it always did; an event has its id in its body as well.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "outbox",
        sa.Column(
            "directly",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="by AMQP; accepted_at is when it was taken in",
        ),
    )
    op.add_column(
        "outbox", sa.Column("message_id", sa.Text(), comment="the id that stood beside the body; null: none, or it is in the body")
    )
