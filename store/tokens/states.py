"""The states of tokens and callbacks in SQL: the one spelling of `Token.state` and `Callback.state`
for queries. `tests/conformance/test_states.py` compares each with its property.

Called by lists and gauges.
"""

import sqlalchemy as sa

from schemas.deliveries.callback_health import CallbackState
from schemas.times import UnixMs
from schemas.tokens.tokens import TokenState
from store.tables import callbacks, tokens


def token_state(now: UnixMs) -> sa.ColumnElement[str]:
    """Return the expression for `Token.state(now)`, as text."""
    c = tokens.c
    return sa.case(
        (c.revoked_at.is_not(None), TokenState.REVOKED.value),
        (c.expires_at <= now, TokenState.EXPIRED.value),
        (sa.not_(c.enabled), TokenState.SUSPENDED.value),
        (c.activates_at > now, TokenState.SCHEDULED.value),
        else_=TokenState.ACTIVE.value,
    )


def callback_state() -> sa.ColumnElement[str]:
    """Return the expression for `Callback.state`, as text."""
    c = callbacks.c
    return sa.case(
        (sa.not_(c.enabled), CallbackState.OFF.value),
        (c.disabled_at.is_not(None), CallbackState.DISABLED.value),
        (c.failing_since.is_not(None), CallbackState.FAILING.value),
        else_=CallbackState.HEALTHY.value,
    )


def state_is(state: TokenState | CallbackState, now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that a token, or a callback, is in this state now."""
    expression = token_state(now) if isinstance(state, TokenState) else callback_state()
    return expression == state.value
