"""Secrets at rest: signing secrets and callback headers, encrypted with AES-256-GCM and bound to
their row.

A reader of the database learns nothing, and a writer cannot move one row's secret to another: the
location is authenticated along with the content (docs/invariants.md#secrets-stay-secret). Called by
`store` alone. Tokens themselves are only hashed.
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
    """Where a secret is stored. A secret that is found elsewhere does not open."""

    table: str
    column: str
    row: str

    def bound(self) -> bytes:
        """Return the location as the associated data of the encryption."""
        return "\0".join(self).encode()


class Vault:
    """Encryption with the last of the secret keys (oldest first). It opens what any of them sealed.

    Raises UsageError for an empty key, or none.
    """

    def __init__(self, secret_keys: Sequence[str]):
        if not secret_keys or not all(secret_keys):
            raise UsageError(
                "RINGBACK_SECRET_KEY: at least one key is needed, and none may be empty"
            )
        derived = [_derive(key) for key in secret_keys]
        self._ciphers = dict(derived)
        self._current, self._cipher = derived[-1]

    def seal(self, content: bytes, location: SecretLocation) -> bytes:
        """Return the content so that only `open` with the same location reads it.

        The parts are format, key id, nonce, ciphertext.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return (
            _FORMAT + self._current + nonce + self._cipher.encrypt(nonce, content, location.bound())
        )

    def open(self, sealed: bytes, location: SecretLocation) -> bytes:
        """Return the content of what `seal` returned. Raises SecretUnreadable."""
        cipher = self._ciphers.get(sealed[len(_FORMAT) : _NONCE_AT])
        if sealed[: len(_FORMAT)] != _FORMAT or cipher is None:
            raise SecretUnreadable(
                "RINGBACK_SECRET_KEY does not hold the key that encrypted"
                f" {location.table}.{location.column} of {location.row}"
            )
        try:
            return cipher.decrypt(
                sealed[_NONCE_AT:_CONTENT_AT], sealed[_CONTENT_AT:], location.bound()
            )
        except InvalidTag:
            raise SecretUnreadable(
                f"{location.table}.{location.column} of {location.row} was changed or moved:"
                " it does not open"
            ) from None

    def is_current(self, sealed: bytes) -> bool:
        """Return whether the last key encrypted this secret."""
        return sealed[:_NONCE_AT] == _FORMAT + self._current


def _derive(secret_key: str) -> tuple[bytes, AESGCM]:
    """Return a key's id and its cipher.

    HKDF, not a slow hash: a secret key is random, not a password.
    """
    material = HKDF(
        SHA256(), length=_ID_BYTES + _KEY_BYTES, salt=None, info=b"ringback vault 1"
    ).derive(secret_key.encode())
    return material[:_ID_BYTES], AESGCM(material[_ID_BYTES:])
