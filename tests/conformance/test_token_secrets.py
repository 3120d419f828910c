"""The secrets of tokens, replaced with and without overlap, and by several at once; the same on
SQLite and PostgreSQL.
"""

import contextlib
import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.errors import Conflict, Invalid
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.secrets import signing_key, token_hash
from schemas.tokens.tokens import TokenState
from store.engine.database import Database
from store.tokens.audit_log import list_changes
from store.tokens.rotation import MAX_SIGNING_SECRETS
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields

NOW = UnixMs(1_000_000)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, Vault(["a-key-for-tests-" * 2]))


@pytest.fixture
def token_id(tokens: Tokens) -> TokenId:
    return tokens.create(token_fields(), {}, NOW, TESTER).token.id


def test_a_regenerated_secret_overlaps_as_long_as_was_asked(
    tokens: Tokens, token_id: TokenId
) -> None:
    """A supplier can be moved over without being cut off."""
    old = tokens.get(token_id).hashes[0].value

    made = tokens.regenerate(token_id, HOUR, NOW, TESTER)

    previous, current = made.token.hashes
    assert (previous.value, previous.until) == (old, NOW + 3_600_000)
    assert (current.value, current.until) == (token_hash(made.secret), None)
    assert made.token.hint == f"rbk_…{made.secret[-4:]}"


def test_a_secret_regenerated_without_overlap_ends_the_old_one(
    tokens: Tokens, token_id: TokenId
) -> None:
    """It leaked: nothing of it may stay."""
    made = tokens.regenerate(token_id, dt.timedelta(0), NOW, TESTER)

    assert [secret.value for secret in made.token.hashes] == [token_hash(made.secret)]


def test_a_rotated_signing_secret_signs_together_with_the_old_one_for_the_overlap(
    tokens: Tokens, token_id: TokenId
) -> None:
    """Receivers verify with either meanwhile; a second rotation cannot make the first overlap
    longer.
    """
    first = signing_key(tokens.signing_secret(token_id, TESTER))

    second = signing_key(tokens.rotate_signing_secret(token_id, HOUR, NOW, TESTER))
    third = signing_key(tokens.rotate_signing_secret(token_id, 24 * HOUR, NOW, TESTER))

    token = tokens.get(token_id)
    assert token.live_signing_keys(NOW) == [first, second, third]
    assert token.live_signing_keys(UnixMs(NOW + 3_600_000)) == [second, third]
    assert signing_key(tokens.signing_secret(token_id, TESTER)) == third


def test_no_more_signing_secrets_live_than_receivers_take_signatures(
    tokens: Tokens, token_id: TokenId
) -> None:
    """Each is a signature in every webhook's header. Ending them all is always possible: one of
    them may have leaked.
    """
    for _ in range(MAX_SIGNING_SECRETS - 1):
        tokens.rotate_signing_secret(token_id, HOUR, NOW, TESTER)

    with pytest.raises(Conflict, match="5 signing secrets of this token sign already"):
        tokens.rotate_signing_secret(token_id, HOUR, NOW, TESTER)

    assert len(tokens.get(token_id).live_signing_keys(NOW)) == MAX_SIGNING_SECRETS
    tokens.rotate_signing_secret(token_id, HOUR, UnixMs(NOW + 3_600_000), TESTER)
    tokens.rotate_signing_secret(token_id, dt.timedelta(0), NOW, TESTER)
    assert len(tokens.get(token_id).signing_keys) == 1


def test_rotations_at_once_lose_none_of_the_secrets(tokens: Tokens, token_id: TokenId) -> None:
    """Two administrators, each with a secret of their own to give out: both sign."""
    first = tokens.signing_secret(token_id, TESTER)
    with ThreadPoolExecutor(3) as pool:
        made = list(
            pool.map(lambda _: tokens.rotate_signing_secret(token_id, HOUR, NOW, TESTER), range(3))
        )

    assert set(tokens.get(token_id).live_signing_keys(NOW)) == {
        signing_key(secret) for secret in (first, *made)
    }


def test_regenerations_at_once_leave_one_current_secret(tokens: Tokens, token_id: TokenId) -> None:
    """The last one counts, the one before it overlaps, and any older one is over, as if they had
    come one after the other.
    """
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: tokens.regenerate(token_id, HOUR, NOW, TESTER), range(3)))

    previous, current = tokens.get(token_id).hashes
    assert {previous.value, current.value} < {token_hash(one.secret) for one in made}
    assert (previous.until, current.until) == (NOW + 3_600_000, None)


def test_a_token_revoked_while_it_is_regenerated_is_revoked(
    tokens: Tokens, token_id: TokenId, database: Database
) -> None:
    """Whichever comes first: the new secret never brings it back."""
    start = threading.Barrier(2)

    def regenerate() -> None:
        start.wait()
        with contextlib.suppress(Conflict):
            tokens.regenerate(token_id, HOUR, NOW, TESTER)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(regenerate)
        start.wait()
        tokens.revoke(token_id, NOW, TESTER)
        running.result()

    assert tokens.get(token_id).state(NOW) is TokenState.REVOKED
    with database.read() as connection:
        assert list_changes(connection, token_id, 10).rows[0].action == "revoked", (
            "nothing came after it"
        )


@pytest.mark.parametrize("overlap", [dt.timedelta(days=7, seconds=1), dt.timedelta(seconds=-1)])
def test_an_overlap_beyond_a_week_is_refused(
    tokens: Tokens, token_id: TokenId, overlap: dt.timedelta
) -> None:
    """A secret that leaked would stay useful."""
    with pytest.raises(Invalid):
        tokens.rotate_signing_secret(token_id, overlap, NOW, TESTER)
    with pytest.raises(Invalid):
        tokens.regenerate(token_id, overlap, NOW, TESTER)
