"""Expired tokens and the directory's memory: they must not be looked at for every event,
for ever.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.observer import NullObserver
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Token
from store.directory.directory import Directory
from store.directory.expiry_queue import MARGIN_MS
from store.engine.database import Database
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
END = UnixMs(1_000_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])


class Wall:
    """A clock that shows what the test says."""

    def __init__(self) -> None:
        self.now = END

    def __call__(self) -> UnixMs:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def directory(database: Database, wall: Wall) -> Iterator[Directory]:
    """Not started: it reads the store when the test says so."""
    made = Directory(database, VAULT, NullObserver(), wall=wall)
    yield made
    made.close()


@pytest.fixture
def token(database: Database) -> Token:
    """It ends at END."""
    fields = replace(token_fields(), expires_at=END)
    return (
        Tokens(database, VAULT)
        .create(fields, {RECEIVED: CallbackFields("https://x.example/")}, UnixMs(1), TESTER)
        .token
    )


def matched(directory: Directory) -> set[TokenId]:
    directory.refresh()
    return {token.id for token, _ in directory.match(RECEIVED, "chn_1")}


def test_what_expired_long_ago_is_not_matched_any_more(
    directory: Directory, wall: Wall, token: Token
) -> None:
    """A thousand of them would cost each event a millisecond. A moment more or less does not
    matter: the event's own time is judged elsewhere.
    """
    found = [matched(directory)]
    for wall.now in (UnixMs(END + MARGIN_MS - 1), UnixMs(END + MARGIN_MS)):
        found.append(matched(directory))

    assert found == [{token.id}, {token.id}, set()]


def test_it_is_still_known_by_its_callback_and_its_secret(
    directory: Directory, wall: Wall, token: Token
) -> None:
    """Its open deliveries are cancelled for that reason, and its owner can see that."""
    wall.now = UnixMs(END + MARGIN_MS)
    assert matched(directory) == set()

    assert directory.token(token.id) == token
    assert directory.callback(token.callbacks[RECEIVED].id) == (token, token.callbacks[RECEIVED])
    assert directory.snapshot.by_hash(token.hashes[0].value, wall.now) == token


@pytest.mark.parametrize("after_ms", [0, MARGIN_MS])
def test_one_that_is_given_more_time_is_matched(
    directory: Directory, wall: Wall, token: Token, database: Database, after_ms: int
) -> None:
    """Whether it was left out already or not."""
    wall.now = UnixMs(END + after_ms)
    matched(directory)

    Tokens(database, VAULT).change(
        token.id, lambda fields: replace(fields, expires_at=UnixMs(END * 2)), TESTER
    )
    wall.now = UnixMs(END + MARGIN_MS + 1)

    assert matched(directory) == {token.id}


def test_one_that_changes_after_its_end_is_left_out_again(
    directory: Directory, wall: Wall, token: Token, database: Database
) -> None:
    """A change puts it where it was before."""
    wall.now = UnixMs(END + MARGIN_MS)
    matched(directory)

    Tokens(database, VAULT).change(
        token.id, lambda fields: replace(fields, name="another name"), TESTER
    )

    assert matched(directory) == set()


def test_a_clock_that_is_set_back_brings_back_whom_it_left_out(
    directory: Directory, wall: Wall, token: Token
) -> None:
    """It may have been ahead by years for a minute: no token may miss its events until a restart
    for that.
    """
    wall.now = UnixMs(END * 2)
    assert matched(directory) == set()

    wall.now = UnixMs(END - 1)

    assert matched(directory) == {token.id}
    wall.now = UnixMs(END + MARGIN_MS)
    assert matched(directory) == set()
