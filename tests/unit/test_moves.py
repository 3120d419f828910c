"""The life of a delivery: its table of moves."""

import pytest

from schemas.deliveries.deliveries import SETTLED, DeliveryState, IllegalMove, Move, next_state


@pytest.mark.parametrize("state", sorted(SETTLED))
@pytest.mark.parametrize("move", list(Move))
def test_what_has_ended_moves_no_more(state: DeliveryState, move: Move) -> None:
    """But for an answer, which always counts, and for a repair of what was given up: that begins
    anew.
    """
    allowed = {(DeliveryState.EXHAUSTED, Move.REOPENED): DeliveryState.PENDING}.get((state, move))
    if move is Move.ANSWERED:
        allowed = DeliveryState.DELIVERED

    if allowed is not None:
        assert next_state(state, move) is allowed
    else:
        with pytest.raises(IllegalMove):
            next_state(state, move)


def test_what_is_pending_ends_once() -> None:
    """Each way has its own end, and only a failure with attempts left is none. Nothing pending is
    opened anew.
    """
    ends = {
        move: next_state(DeliveryState.PENDING, move) for move in Move if move is not Move.REOPENED
    }

    assert ends.pop(Move.FAILED) is DeliveryState.PENDING
    assert set(ends.values()) == SETTLED
    with pytest.raises(IllegalMove):
        next_state(DeliveryState.PENDING, Move.REOPENED)
