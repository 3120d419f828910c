"""Tests of a callback in SQL. They are no traffic, so they are neither recovered nor counted. Their
events are recognized by their ids.
"""

import sqlalchemy as sa

from schemas.ids import TEST_EVENT_ID_LENGTH, TEST_PREFIX


def no_test(event_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that an event is no test, the same as `schemas.ids.is_test_event`.

    The length counts too: a backend may begin its ids as it likes.
    """
    return sa.not_(
        sa.and_(
            event_id.startswith(TEST_PREFIX, autoescape=True),
            sa.func.length(event_id) == TEST_EVENT_ID_LENGTH,
        )
    )
