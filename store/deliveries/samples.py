"""Samples that somebody had sent to a callback: no traffic, so neither recovered nor counted. Told
by the ids of their events.
"""

import sqlalchemy as sa

from schemas.ids import TEST_EVENT_ID_LENGTH, TEST_PREFIX


def no_test(event_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """As `schemas.ids.is_test_event`. By its length too: a backend may begin its ids as it likes.
    """
    return sa.not_(
        sa.and_(
            event_id.startswith(TEST_PREFIX, autoescape=True),
            sa.func.length(event_id) == TEST_EVENT_ID_LENGTH,
        )
    )
