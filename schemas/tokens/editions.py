"""The edition of a token: a text that changes when someone changes the token or its callbacks. It
shows whether what a person looks at is still what stands there. Pure.

It is made of what people may set, and not of the health of callbacks: a receiver that fails and
works again would make every save fail. `tokens.version` counts both.
"""

import hashlib
import hmac

import msgspec

from schemas.tokens.tokens import Callback, Token

_HEX_DIGITS = 32  # 128 bits


def edition(token: Token) -> str:
    """Return the token's edition, in hexadecimal digits. Equal tokens have equal ones.

    Values of headers are part of it. Its key is the signing key, so that it does not help to guess
    them.
    """
    callbacks = [_settings(token.callbacks[event_type]) for event_type in sorted(token.callbacks)]
    content = (
        (token.name, token.contact, token.enabled),
        (token.activates_at, token.expires_at, token.revoked_at),
        (
            sorted(token.permissions),
            None if token.channels is None else sorted(token.channels),
        ),
        [(secret.value, secret.until) for secret in token.hashes],
        [(key.value, key.until) for key in token.signing_keys],
        callbacks,
    )
    key = token.signing_keys[-1].value if token.signing_keys else b""
    digest = hmac.new(key, msgspec.json.encode(content), hashlib.sha256)
    return digest.hexdigest()[:_HEX_DIGITS]


def _settings(callback: Callback) -> tuple[object, ...]:
    return (
        callback.id,
        callback.type,
        callback.url,
        callback.enabled,
        callback.on_resume,
        sorted(callback.headers.items()),
    )
