"""What is held, in SQL (docs/invariants.md#held-is-derived).

It is stored nowhere. An open delivery is held while its callback is off or disabled or its token
suspended. After that a delivery from before the return is held until it is released.
"""

import sqlalchemy as sa

from store.tables import callbacks, deliveries, tokens

HeldBefore = sa.ColumnElement[int] | sa.ColumnElement[int | None] | int | None
"""A callback's `held_before`: the column of a joined callback, or its value."""

callback_holds = sa.or_(
    callbacks.c.enabled.is_(False),
    callbacks.c.disabled_at.is_not(None),
    tokens.c.enabled.is_(False),
)
"""The condition that a callback, joined with its token, holds everything that is open for it."""

is_kept = deliveries.c.queued_at < callbacks.c.held_before
"""The condition that an open delivery is from before its joined callback was resumed.

It is NULL where nothing is kept, so it must not be negated.
"""


def is_called(now: int) -> sa.ColumnElement[bool]:
    """Return the condition that a callback, joined with its token, may be called at all.

    What is open for it is then not held, unless it is kept.
    """
    begun = sa.and_(tokens.c.enabled, tokens.c.revoked_at.is_(None), tokens.c.activates_at <= now)
    unexpired = sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)
    return sa.and_(callbacks.c.enabled, callbacks.c.disabled_at.is_(None), begun, unexpired)


def is_not_kept(held_before: HeldBefore) -> sa.ColumnElement[bool]:
    """Return the condition that an open delivery is not kept.

    It is one lower bound, with which an index skips everything that is kept.
    """
    bound = (
        sa.func.coalesce(held_before, 0)
        if isinstance(held_before, sa.ColumnElement)
        else held_before or 0
    )
    return deliveries.c.queued_at >= bound


_holding_callbacks = (
    sa.select(callbacks.c.id)
    .join(tokens, tokens.c.id == callbacks.c.token_id)
    .where(callback_holds)
)
_is_of_holding = deliveries.c.callback_id.in_(_holding_callbacks)
_is_kept = sa.exists().where(callbacks.c.id == deliveries.c.callback_id, is_kept)
_is_open = deliveries.c.due_at.is_not(None)

is_held = sa.and_(sa.or_(_is_of_holding, _is_kept), _is_open)
"""The condition that a delivery is held.

It asks for `due_at` too: the deliveries of few holding callbacks are then found by that index.
"""

is_not_held = sa.not_(sa.or_(_is_of_holding, sa.and_(_is_kept, _is_open)))
"""The condition that a delivery, which must be open, is not held."""
