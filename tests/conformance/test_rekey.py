"""Encrypting everything again under the last secret key: on SQLite and on PostgreSQL, while other
processes change what is encrypted.
"""

import datetime as dt
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.secrets import signing_key
from store.engine.database import Database
from store.maintenance import rekey
from store.maintenance.rekey import Tally
from store.tables import directory_version
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens
from store.tokens.vault import SecretLocation, Vault
from tests.kit.locks import has_waiting_locks
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import wait_for

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
OLD, NEW = "the-old-key-" * 3, "the-new-key-" * 3
BOTH = Vault([OLD, NEW])


def make(database: Database, key: str = OLD) -> TokenId:
    """A token with a callback that has a header, encrypted with this key."""
    callbacks = {RECEIVED: CallbackFields("https://x.example/", headers={"X-Key": "v"})}
    return Tokens(database, Vault([key])).create(token_fields(), callbacks, NOW, TESTER).token.id


def run(database: Database) -> Tally:
    return list(rekey.rekey(database, BOTH))[-1]


def is_readable(database: Database, token_id: TokenId, key: str) -> bool:
    """Signing secret and headers."""
    token = Tokens(database, Vault([key])).get(token_id)
    return token.is_readable and token.callbacks[RECEIVED].headers == {"X-Key": "v"}


def test_everything_can_be_read_with_the_last_key_alone(database: Database) -> None:
    """The old key does not open it any more: it may have leaked."""
    made = [make(database), make(database), make(database, NEW)]
    secrets = [Tokens(database, BOTH).get(token_id).signing_keys for token_id in made]

    done = run(database)

    assert (done.re_encrypted, done.right_already, done.unreadable) == (4, 2, set())
    assert all(is_readable(database, token_id, NEW) for token_id in made)
    assert not any(is_readable(database, token_id, OLD) for token_id in made)
    assert [Tokens(database, BOTH).get(token_id).signing_keys for token_id in made] == secrets


def test_a_second_time_there_is_nothing_to_do(database: Database) -> None:
    """It can be run to see whether the old key may be dropped."""
    make(database)
    run(database)

    assert run(database) == Tally(re_encrypted=0, right_already=2, checked=2)


def test_it_is_done_in_slices_and_goes_on_after_an_interruption(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done stays done."""
    monkeypatch.setattr(rekey, "SLICE", 2)
    made = [make(database) for _ in range(5)]

    first = next(rekey.rekey(database, BOTH))
    assert first.re_encrypted == 2
    done = run(database)

    assert (done.re_encrypted, done.right_already, done.checked) == (8, 2, 10)
    assert done.checked == rekey.count(database)
    assert all(is_readable(database, token_id, NEW) for token_id in made)


def test_what_no_key_opens_is_named_and_left_as_it_is(database: Database) -> None:
    """Its key may still be found. A token that was revoked needs its secrets no more: it would be
    named for ever.
    """
    lost, revoked, well = (
        make(database, "a-key-that-is-lost"),
        make(database, "a-key-that-is-lost"),
        make(database),
    )
    Tokens(database, BOTH).revoke(revoked, NOW, TESTER)

    done = run(database)

    assert (done.re_encrypted, done.unreadable) == (2, {lost})
    assert is_readable(database, well, NEW)
    assert is_readable(database, lost, "a-key-that-is-lost")


def test_no_process_has_to_reload_for_it(database: Database) -> None:
    """What is encrypted means what it meant: the version stays, and ten thousand tokens are not
    read again by every process.
    """
    make(database)
    before = version(database)

    run(database)

    assert version(database) == before


def version(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(directory_version.c.version)) or 0


class Interrupted(Vault):
    """Does something between reading a secret and writing it back."""

    def __init__(self, meanwhile: Callable[[], None]):
        super().__init__([OLD, NEW])
        self._meanwhile = meanwhile

    def open(self, sealed: bytes, place: SecretLocation) -> bytes:
        content = super().open(sealed, place)
        self._meanwhile()
        return content


def test_what_is_changed_meanwhile_is_not_overwritten(shared: Database) -> None:
    """A rotated signing secret that went back to the one before would have every webhook refused.
    On PostgreSQL: on SQLite there is one writer.
    """
    token_id = make(shared)
    made: list[str] = []
    tokens, callbacks = Tokens(shared, BOTH), Callbacks(shared, BOTH)

    def change() -> None:
        made.append(tokens.rotate_signing_secret(token_id, dt.timedelta(0), NOW, TESTER))
        callbacks.put(
            token_id,
            RECEIVED,
            CallbackFields("https://x.example/", headers={"X-Key": "another"}),
            TESTER,
        )

    changing = threading.Thread(target=change)

    def meanwhile() -> None:
        if changing.ident is None:
            changing.start()
            wait_for(
                "the change to be made, or to wait",
                lambda: not changing.is_alive() or has_waiting_locks(shared),
            )

    list(rekey.rekey(shared, Interrupted(meanwhile)))
    changing.join()

    token = tokens.get(token_id)
    assert [key.value for key in token.signing_keys] == [signing_key(made[0])]
    assert token.callbacks[RECEIVED].headers == {"X-Key": "another"}


def test_two_at_once_do_it_once(shared: Database) -> None:
    """Started on two hosts by mistake, or by a job that came back: each thing is encrypted again by
    one of them.
    """
    made = [make(shared) for _ in range(3)]
    tallies: list[Tally] = []
    other = threading.Thread(target=lambda: tallies.append(run(shared)))

    def meanwhile() -> None:
        if other.ident is None:
            other.start()
            wait_for(
                "the other to be through, or to wait",
                lambda: not other.is_alive() or has_waiting_locks(shared),
            )

    tallies.append(list(rekey.rekey(shared, Interrupted(meanwhile)))[-1])
    other.join()

    assert (
        sum(tally.re_encrypted for tally in tallies)
        == sum(tally.right_already for tally in tallies)
        == 6
    )
    assert all(is_readable(shared, token_id, NEW) for token_id in made)
