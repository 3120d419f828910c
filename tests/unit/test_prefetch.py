"""How much the broker may send ahead: counted in messages, chosen by their bytes."""

import pytest

from exchange.rabbit.prefetch import AIM_BYTES, FIRST, MOST_BYTES, MOST_MESSAGES, Window
from schemas.events.events import MAX_EVENT_BYTES


def filled(window: Window, size_bytes: int, count: int, first: int = 1) -> Window:
    for tag in range(first, first + count):
        window.add(tag, size_bytes)
    return window


def test_a_new_channel_asks_for_no_more_than_it_could_hold_of_the_largest() -> None:
    """The sizes of the waiting messages are unknown at first: two thousand of them at once would be
    half a gigabyte.
    """
    assert FIRST * MAX_EVENT_BYTES <= AIM_BYTES
    assert not filled(Window(), MAX_EVENT_BYTES, FIRST).is_too_heavy


@pytest.mark.parametrize(
    ("size_bytes", "fitting"),
    [(1, 2000), (600, 2000), (8_000, 2000), (32_000, 786), (60_000, 419), (250_000, None)],
)
def test_a_full_window_grows_to_what_fits_by_the_size_of_its_messages(
    size_bytes: int, fitting: int | None
) -> None:
    """Small events get all the way that they always had."""
    window = filled(Window(), size_bytes, FIRST)

    assert window.is_too_small == (fitting is not None)
    window.fit()
    assert window.size == (fitting or AIM_BYTES // size_bytes)


def test_it_only_grows_while_no_message_can_be_on_its_way() -> None:
    """What comes for a consumer that is gone goes back to the queue, and is overtaken."""
    window = filled(Window(), 600, FIRST - 1)
    assert not window.is_too_small

    window.add(FIRST, 600)
    assert window.is_too_small
    window.remove(1, 600)
    assert not window.is_too_small


def test_what_an_earlier_consumer_was_sent_does_not_count_against_the_next() -> None:
    """The broker counts by consumer, and so do we, or some could be on their way when we think that
    none is.
    """
    window = filled(Window(), 600, 100)
    window.begin()
    filled(window, 600, FIRST - 1, first=101)
    assert not window.is_too_small

    window.remove(50, 600)
    window.add(100 + FIRST, 600)
    assert window.is_too_small


def test_larger_messages_than_before_end_it_until_enough_of_them_is_acknowledged() -> None:
    """The prefetch was chosen for small ones."""
    window = filled(Window(), 600, FIRST)
    window.fit()
    window.begin()
    large = MOST_BYTES // MAX_EVENT_BYTES + 1
    filled(window, MAX_EVENT_BYTES, large, first=FIRST + 1)
    assert window.is_too_heavy

    window.fit()
    assert window.size < MOST_MESSAGES // 2
    for tag in range(FIRST + 1, FIRST + 1 + large - 20):
        assert not window.is_light_again or tag > FIRST + large // 2
        window.remove(tag, MAX_EVENT_BYTES)
    assert window.is_light_again


def test_messages_beyond_all_limits_are_asked_for_one_at_a_time() -> None:
    """They become dead letters; until then they are in memory."""
    window = filled(Window(), MOST_BYTES + 1, 1)

    window.fit()
    assert window.size == 1
