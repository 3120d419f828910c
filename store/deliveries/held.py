"""What is held, in SQL (docs/invariants.md#held-is-derived). It is nowhere stored: an open delivery
is held while its callback is off or disabled or its token suspended, and after that, when it dates
from before, until it is released.
"""

from typing import Any

import sqlalchemy as sa

from store.tables import callbacks, deliveries, tokens

callback_holds = sa.or_(
    callbacks.c.enabled.is_(False),
    callbacks.c.disabled_at.is_not(None),
    tokens.c.enabled.is_(False),
)
"""Whether a callback, joined with its token, holds all that is open for it."""


def is_called(now: int) -> sa.ColumnElement[bool]:
    """Whether a callback, joined with its token, may be called at all: what is open for it is not
    held, but for what is kept.
    """
    begun = sa.and_(tokens.c.enabled, tokens.c.revoked_at.is_(None), tokens.c.activates_at <= now)
    unexpired = sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)
    return sa.and_(callbacks.c.enabled, callbacks.c.disabled_at.is_(None), begun, unexpired)


def is_kept(delivery: Any, callback: Any) -> sa.ColumnElement[bool]:
    """Whether an open delivery dates from before its callback came back. NULL where nothing is
    kept: not to be negated.
    """
    return delivery.queued_at < callback.held_before  # type: ignore[no-any-return]


def is_not_kept(
    delivery: Any, held_before: sa.ColumnElement[Any] | int | None
) -> sa.ColumnElement[bool]:
    """Of open deliveries, whose age counts from some time. As one lower bound, with which an index
    passes over all that is kept.
    """
    bound = (
        sa.func.coalesce(held_before, 0)
        if isinstance(held_before, sa.ColumnElement)
        else held_before or 0
    )
    return delivery.queued_at >= bound  # type: ignore[no-any-return]


_holding_callbacks = (
    sa.select(callbacks.c.id)
    .join(tokens, tokens.c.id == callbacks.c.token_id)
    .where(callback_holds)
)
_is_of_holding = deliveries.c.callback_id.in_(_holding_callbacks)
_is_kept = sa.exists().where(
    callbacks.c.id == deliveries.c.callback_id, is_kept(deliveries.c, callbacks.c)
)
_is_open = deliveries.c.due_at.is_not(None)

is_held = sa.and_(sa.or_(_is_of_holding, _is_kept), _is_open)
"""By `due_at` too: the deliveries of few holding callbacks are then found by that index."""

is_not_held = sa.not_(sa.or_(_is_of_holding, sa.and_(_is_kept, _is_open)))
"""Of deliveries that are open."""
