"""Secrets at rest: what is sealed opens, but only in its place and with a key that is still set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SecretUnreadable, UsageError
from store.tokens.vault import SecretLocation, Vault

PLACE = SecretLocation("tokens", "signing_secrets", "tok_1")


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_again(content: bytes) -> None:
    """The one thing that a vault is for."""
    vault = Vault(["a" * 32])

    assert vault.open(vault.seal(content, PLACE), PLACE) == content


def test_the_content_cannot_be_seen_in_what_is_stored() -> None:
    """Encryption, not encoding; and not the same twice."""
    vault = Vault(["a" * 32])

    first, second = (vault.seal(b"whsec_secret", PLACE) for _ in range(2))

    assert b"whsec" not in first
    assert first != second


@pytest.mark.parametrize(
    "elsewhere",
    [
        PLACE._replace(row="tok_2"),
        PLACE._replace(column="headers"),
        PLACE._replace(table="callbacks"),
    ],
)
def test_a_secret_moved_to_another_place_does_not_open(elsewhere: SecretLocation) -> None:
    """Who may write to the database must not give himself another token's signing secret."""
    vault = Vault(["a" * 32])
    sealed = vault.seal(b"secret", PLACE)

    with pytest.raises(SecretUnreadable, match="changed or moved"):
        vault.open(sealed, elsewhere)


def test_the_last_key_encrypts_and_the_older_ones_still_open() -> None:
    """Rotation is adding a key at the end."""
    old, both, new = Vault(["old" * 12]), Vault(["old" * 12, "new" * 12]), Vault(["new" * 12])

    assert both.open(old.seal(b"x", PLACE), PLACE) == b"x"
    assert new.open(both.seal(b"y", PLACE), PLACE) == b"y"


def test_a_key_that_is_gone_is_named_as_the_reason() -> None:
    """The operator must learn which setting to look at, and never the secret."""
    sealed = Vault(["old" * 12]).seal(b"x", PLACE)

    with pytest.raises(SecretUnreadable, match="RINGBACK_SECRET_KEY"):
        Vault(["new" * 12]).open(sealed, PLACE)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + b"x" * 40])
def test_what_is_no_secret_at_all_does_not_open(sealed: bytes) -> None:
    """A truncated column is an error of ours, not a crash somewhere else."""
    with pytest.raises(SecretUnreadable):
        Vault(["a" * 32]).open(sealed, PLACE)


@pytest.mark.parametrize("keys", [[], [""], ["a" * 32, ""]])
def test_a_vault_without_a_usable_key_is_refused(keys: list[str]) -> None:
    """An empty key would encrypt, and protect nothing."""
    with pytest.raises(UsageError, match="RINGBACK_SECRET_KEY"):
        Vault(keys)
