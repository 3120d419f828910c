"""Secrets at rest: signing secrets and callback headers, encrypted with AES-256-GCM and bound to
their row.

Whoever reads the database learns nothing, and whoever may write to it cannot move one row's secret
to another: the place is authenticated along with the content. Called by `store` alone; tokens are
not here, they are only hashed.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import SecretUnreadable, UsageError

_FORMAT = b"\x01"
_KEY_BYTES = 32
_ID_BYTES = 4  # tells the keys of one installation apart; a collision would need 65,000 of them
_NONCE_BYTES = 12  # NIST SP 800-38D: random nonces are good for 2**32 messages under one key
_NONCE_AT = len(_FORMAT) + _ID_BYTES
_CONTENT_AT = _NONCE_AT + _NONCE_BYTES


class SecretLocation(NamedTuple):
    """Where a secret lives. One that is found elsewhere does not open."""

    table: str
    column: str
    row: str

    def bound(self) -> bytes:
        return "\0".join(self).encode()


class Vault:
    """Encrypts with the last of the secret keys (oldest first), opens what any of them encrypted.
    """

    def __init__(self, secret_keys: Sequence[str]):
        if not secret_keys or not all(secret_keys):
            raise UsageError(
                "RINGBACK_SECRET_KEY: at least one key is needed, and none may be empty"
            )
        derived = [_derive(key) for key in secret_keys]
        self._ciphers = dict(derived)
        self._current, self._cipher = derived[-1]

    def seal(self, content: bytes, place: SecretLocation) -> bytes:
        """`content` so that only `open` with the same place reads it: format, key id, nonce,
        ciphertext.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + self._current + nonce + self._cipher.encrypt(nonce, content, place.bound())

    def open(self, sealed: bytes, place: SecretLocation) -> bytes:
        """The inverse of `seal`. Raises SecretUnreadable."""
        cipher = self._ciphers.get(sealed[len(_FORMAT) : _NONCE_AT])
        if sealed[: len(_FORMAT)] != _FORMAT or cipher is None:
            raise SecretUnreadable(
                f"RINGBACK_SECRET_KEY does not hold the key that encrypted {place.table}.{place.column} of {place.row}"
            )
        try:
            return cipher.decrypt(
                sealed[_NONCE_AT:_CONTENT_AT], sealed[_CONTENT_AT:], place.bound()
            )
        except InvalidTag:
            raise SecretUnreadable(
                f"{place.table}.{place.column} of {place.row} was changed or moved: it does not open"
            ) from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether the last key encrypted it."""
        return sealed[:_NONCE_AT] == _FORMAT + self._current


def _derive(secret_key: str) -> tuple[bytes, AESGCM]:
    """A key's id and its cipher. HKDF, not a slow hash: a secret key is random, not a password."""
    material = HKDF(
        SHA256(), length=_ID_BYTES + _KEY_BYTES, salt=None, info=b"ringback vault 1"
    ).derive(secret_key.encode())
    return material[:_ID_BYTES], AESGCM(material[_ID_BYTES:])
