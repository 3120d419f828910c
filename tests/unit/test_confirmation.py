"""What a publish waits for: it ends when all is settled, when the time is over, or when its request
is cancelled; whatever is settled after that does no harm.
"""

import asyncio

import pytest

from exchange.confirmation import Confirmation

LONG_S, SHORT_S = 30.0, 0.01


async def test_a_wait_ends_when_the_last_message_is_settled() -> None:
    """All events of a request are answered together."""
    confirmation = Confirmation(2)
    waiting = asyncio.create_task(confirmation.wait(LONG_S))
    await asyncio.sleep(0)

    confirmation.settle(1, None)
    await asyncio.sleep(0)
    assert not waiting.done()
    confirmation.settle(0, None)

    assert await waiting
    assert await confirmation.wait(0)


async def test_what_was_not_confirmed_in_time_is_known_and_may_still_be() -> None:
    """Only that goes to the outbox; if the outbox fails, a late confirm is as good."""
    confirmation = Confirmation(3)
    confirmation.settle(0, None)
    confirmation.settle(2, None)

    assert not await confirmation.wait(SHORT_S)
    assert confirmation.unconfirmed == {1}
    assert confirmation.error is None
    waiting = asyncio.create_task(confirmation.wait(LONG_S))
    await asyncio.sleep(0)
    confirmation.settle(1, None)

    assert await waiting


async def test_a_message_that_will_not_be_confirmed_ends_the_wait_with_its_reason() -> None:
    """There is nothing to wait for."""
    confirmation = Confirmation(2)
    waiting = asyncio.create_task(confirmation.wait(LONG_S))
    await asyncio.sleep(0)

    confirmation.settle(0, None)
    confirmation.settle(1, "it came back")

    assert not await waiting
    assert (confirmation.unconfirmed, confirmation.error) == ({1}, "it came back")


@pytest.mark.parametrize("earlier_turn", [True, False])
async def test_what_is_settled_after_its_request_was_cancelled_does_no_harm(
    earlier_turn: bool,
) -> None:
    """The broker's answers come in a callback of its connection: an error there would end that."""
    confirmation = Confirmation(1)
    waiting = asyncio.create_task(confirmation.wait(LONG_S))
    await asyncio.sleep(0)

    waiting.cancel()
    if earlier_turn:
        await asyncio.sleep(0)
    confirmation.settle(0, None)

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not confirmation.unconfirmed


async def test_what_is_settled_after_the_timeout_does_no_harm() -> None:
    """Nor in the turn of the loop in which the time is over."""
    confirmation = Confirmation(1)
    waiting = asyncio.create_task(confirmation.wait(LONG_S))
    await asyncio.sleep(0)
    waiter = confirmation._waiter
    assert waiter is not None

    waiter.set_result(None)  # as the timer does
    confirmation.settle(0, None)

    assert await waiting


async def test_nothing_to_confirm_is_confirmed() -> None:
    """An empty batch must not wait for its timeout."""
    assert await Confirmation(0).wait(LONG_S)
