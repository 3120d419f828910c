"""The key in a form that creates a token: the id that the token will have. A form that is sent
twice therefore creates nothing twice. Pure.
"""

import hashlib
import hmac
from collections.abc import Sequence

from schemas.ids import TokenId, new_token_id

_DIGITS = 32
_PURPOSE = b"create a token: "


def new_key(cookie_keys: Sequence[bytes]) -> str:
    """Return the key of a form that is shown. It is signed: ids are given out here only."""
    token_id = new_token_id()
    return f"{token_id}.{_signature(token_id, cookie_keys[-1])}"


def token_id_in(key: str, cookie_keys: Sequence[bytes]) -> TokenId | None:
    """Return the id that a form carries; None: the key is not one of ours, or its secret is gone."""
    token_id, _, signature = key.partition(".")
    for secret in cookie_keys:
        if hmac.compare_digest(_signature(token_id, secret).encode(), signature.encode()):
            return TokenId(token_id)
    return None


def _signature(token_id: str, secret: bytes) -> str:
    return hmac.new(secret, _PURPOSE + token_id.encode(), hashlib.sha256).hexdigest()[:_DIGITS]
