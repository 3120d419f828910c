"""A token's state and sight follow from its fields and the time alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import EVENT_ID, EventId, delivery_id, new_callback_id, split_delivery_id
from schemas.times import UnixMs
from schemas.tokens.tokens import DatedSecret, TokenState
from tests.kit.tokens import a_token

times = st.integers(0, 50)


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (9, TokenState.SCHEDULED),
        (10, TokenState.ACTIVE),
        (19, TokenState.ACTIVE),
        (20, TokenState.EXPIRED),
        (99, TokenState.EXPIRED),
    ],
)
def test_activation_is_inclusive_and_expiration_exclusive(now: int, state: TokenState) -> None:
    """To the millisecond."""
    assert a_token(activates_at=10, expires_at=20).state(UnixMs(now)) is state


@given(times, times, st.none() | times, st.booleans())
def test_a_revoked_token_is_revoked_whatever_else_it_is(
    now: int, activates_at: int, expires_at: int | None, enabled: bool
) -> None:
    """Final: no date and no switch brings it back."""
    token = a_token(activates_at=activates_at, expires_at=expires_at, enabled=enabled, revoked_at=1)

    assert token.state(UnixMs(now)) is TokenState.REVOKED


@given(times, times, st.none() | times)
def test_a_suspended_token_is_never_active(
    now: int, activates_at: int, expires_at: int | None
) -> None:
    """An expired one is expired, suspended or not."""
    state = a_token(activates_at=activates_at, expires_at=expires_at, enabled=False).state(
        UnixMs(now)
    )

    assert state is (
        TokenState.EXPIRED if expires_at is not None and now >= expires_at else TokenState.SUSPENDED
    )


def test_no_list_of_channels_means_all_and_an_empty_one_none() -> None:
    """The difference between everything and nothing."""
    assert a_token(channels=None).sees("any")
    assert not a_token(channels=[]).sees("any")
    assert a_token(channels=["a"]).sees("a")
    assert not a_token(channels=["a"]).sees("b")


def test_a_secret_that_is_being_rotated_out_lives_until_its_time() -> None:
    """Exclusive, as an expiration is."""
    assert DatedSecret(b"", None).is_valid(UnixMs(10**15))
    assert DatedSecret(b"", UnixMs(5)).is_valid(UnixMs(4))
    assert not DatedSecret(b"", UnixMs(5)).is_valid(UnixMs(5))


@given(st.from_regex(EVENT_ID, fullmatch=True))
def test_a_delivery_id_spells_its_pair(event_id: str) -> None:
    """This holds where an event's id has underscores, as most do."""
    callback = new_callback_id()

    assert split_delivery_id(delivery_id(EventId(event_id), callback)) == (event_id, callback)
