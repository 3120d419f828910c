"""The directory's memory: a look-up gives what a naive walk over all tokens would give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.secrets import new_token, token_hash
from schemas.tokens.tokens import DatedSecret, Token
from store.directory.snapshot import Snapshot
from tests.kit.tokens import a_token

CHANNELS = ["ch1", "ch2", "ch3"]
NOW = UnixMs(1_000)

tokens = st.builds(
    a_token,
    st.integers(1, 6),
    channels=st.none() | st.sets(st.sampled_from(CHANNELS)),
    types=st.sets(st.sampled_from(EventType)),
    revoked_at=st.none() | st.just(5),
    enabled=st.booleans(),
)


@given(st.lists(st.lists(tokens, max_size=4), max_size=5))
def test_matching_is_what_a_walk_over_all_tokens_gives(changes: list[list[Token]]) -> None:
    """Whatever changed in whatever order: each callback that may see an event is found, exactly
    once, and no other.
    """
    snapshot, naive = Snapshot(), {}

    for change in changes:
        snapshot = snapshot.changed(change)
        naive |= {token.id: token for token in change}

    for kind in EventType:
        for channel in CHANNELS:
            seeing = [
                token
                for token in naive.values()
                if token.revoked_at is None and token.sees(channel) and kind in token.callbacks
            ]
            assert sorted(callback.id for _, callback in snapshot.match(kind, channel)) == sorted(
                t.callbacks[kind].id for t in seeing
            )


@given(st.lists(tokens, min_size=1, max_size=4), st.lists(tokens, min_size=1, max_size=4))
def test_a_snapshot_stays_as_it_was_while_the_next_one_is_made(
    before: list[Token], after: list[Token]
) -> None:
    """Readers hold it without a lock: a change must not be seen halfway."""
    snapshot = Snapshot().changed(before)
    seen = {
        (kind, channel): snapshot.match(kind, channel) for kind in EventType for channel in CHANNELS
    }

    snapshot.changed(after)

    assert seen == {
        (kind, channel): snapshot.match(kind, channel) for kind in EventType for channel in CHANNELS
    }


def test_a_callback_that_was_deleted_is_gone() -> None:
    """A dispatcher asks by id, right before an attempt."""
    snapshot = Snapshot().changed([a_token(1)])
    callback_id = CallbackId(f"1-{EventType.MESSAGE_RECEIVED}")
    assert snapshot.callback(callback_id)

    snapshot = snapshot.changed([a_token(1, types=())])

    assert snapshot.callback(callback_id) is None


def test_a_secret_that_was_replaced_holds_until_its_overlap_ends() -> None:
    """It is not a millisecond longer."""
    hashes = (DatedSecret(b"old", NOW), DatedSecret(b"new"))
    snapshot = Snapshot().changed([a_token(1, hashes=hashes)])

    assert snapshot.by_hash(b"old", UnixMs(NOW - 1))
    assert snapshot.by_hash(b"old", NOW) is None
    assert snapshot.by_hash(b"new", NOW)


def test_a_secret_that_is_no_longer_the_tokens_is_forgotten() -> None:
    """Regenerated without overlap: the old secret belongs to no token."""
    snapshot = Snapshot().changed([a_token(1, hashes=(DatedSecret(b"old"),))])

    snapshot = snapshot.changed([a_token(1, hashes=(DatedSecret(b"new"),))])

    assert snapshot.by_hash(b"old", NOW) is None


def test_a_token_is_found_by_its_digest_and_compared_by_nothing_else() -> None:
    """How long a comparison takes tells how much of two texts is alike. Here these are digests,
    which a guess does not steer.
    """
    secret = new_token()
    made = Snapshot().changed([a_token(1, hashes=(DatedSecret(token_hash(secret)),))])

    assert made.by_hash(token_hash(secret), NOW) == made.token(TokenId("tok_1"))
    assert made.by_hash(secret.encode(), NOW) is None
    alike = sum(
        a == b for a, b in zip(token_hash(secret), token_hash(secret[:-1] + "~"), strict=True)
    )
    assert alike < 16, "one character more or less changes all of the digest"


def test_of_revoked_tokens_only_the_last_ones_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Automation that makes and revokes tokens all day must not fill the memory of every process.
    Those that live are all known.
    """
    monkeypatch.setattr("store.directory.snapshot.REVOKED_KEPT", 2)
    snapshot = Snapshot()

    for number in range(1, 6):
        snapshot = snapshot.changed([a_token(number), a_token(100 + number)])
        snapshot = snapshot.changed([a_token(number, revoked_at=5)])

    known = {number for number in range(1, 6) if snapshot.token(TokenId(f"tok_{number}"))}
    assert known == {4, 5}
    assert {
        number for number in range(1, 6) if snapshot.by_hash(f"hash {number}".encode(), NOW)
    } == known
    assert {
        number
        for number in range(1, 6)
        if snapshot.callback(CallbackId(f"{number}-{EventType.MESSAGE_RECEIVED}"))
    } == known
    assert len(snapshot.match(EventType.MESSAGE_RECEIVED, "ch1")) == 5


def test_a_revoked_token_that_is_reported_again_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The look-up of a caller and a poll may both find it."""
    monkeypatch.setattr("store.directory.snapshot.REVOKED_KEPT", 2)
    snapshot = Snapshot()

    for number in (1, 2, 1, 1):
        snapshot = snapshot.changed([a_token(number, revoked_at=5)])

    assert snapshot.token(TokenId("tok_1"))
    assert snapshot.token(TokenId("tok_2"))
