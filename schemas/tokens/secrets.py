"""Secrets as text: API access tokens (`rbk_…`) and signing secrets (`whsec_…`)."""

import base64
import hashlib
import secrets
import string
import zlib

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_TOKEN_PREFIX = "rbk_"
_RANDOM_DIGITS = 30  # 178 bits
_CHECK_DIGITS = 6
_TOKEN_LENGTH = len(_TOKEN_PREFIX) + _RANDOM_DIGITS + _CHECK_DIGITS

_SIGNING_PREFIX = "whsec_"
_SIGNING_BYTES = range(24, 65)  # Standard Webhooks 1.0


def new_token() -> str:
    """Return a new token: `rbk_`, thirty random base62 digits, and a checksum, by which a mistyped
    token is refused without a look-up.
    """
    start = _TOKEN_PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_DIGITS))
    return start + _check_digits(start)


def is_token(text: str) -> bool:
    """Return whether `text` has the form of a token, including its checksum."""
    if len(text) != _TOKEN_LENGTH or not text.startswith(_TOKEN_PREFIX) or not text.isascii():
        return False
    return text[-_CHECK_DIGITS:] == _check_digits(text[:-_CHECK_DIGITS])


def token_hash(token: str) -> bytes:
    """Return what is stored instead of a token: plain SHA-256, as 178 random bits need no slow
    hash.
    """
    return hashlib.sha256(token.encode()).digest()


def token_hint(token: str) -> str:
    """Return the part of a token that is shown: it distinguishes tokens and reveals no secret."""
    return f"{_TOKEN_PREFIX}…{token[-4:]}"


def new_signing_secret() -> str:
    """Return a new `whsec_…` secret of 32 random bytes."""
    return signing_secret_text(secrets.token_bytes(32))


def signing_secret_text(key: bytes) -> str:
    """Return a key as a `whsec_…` secret; `signing_key` is the inverse."""
    return _SIGNING_PREFIX + base64.b64encode(key).decode()


def signing_key(secret: str) -> bytes:
    """Return the HMAC key in a `whsec_…` secret. Raises ValueError saying what is wrong, without
    the secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_SIGNING_PREFIX), validate=True)
    except (
        ValueError
    ):  # binascii.Error is a subclass; a text that is not ASCII raises ValueError itself
        raise ValueError("a signing secret is whsec_ followed by base64") from None
    if len(key) not in _SIGNING_BYTES:
        raise ValueError(f"a signing secret holds 24 to 64 bytes, this one {len(key)}")
    return key


def _check_digits(start: str) -> str:
    value, digits = zlib.crc32(start.encode()), ""
    while value:
        value, digit = divmod(value, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(_CHECK_DIGITS, "0")
