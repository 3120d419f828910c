"""One sign-in, from the link to the provider to the person's return. What has to survive in between
is in the browser's signed cookie; nothing is stored here. Pure, apart from randomness.
"""

import base64
import hashlib
import secrets
from collections.abc import MutableMapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

VALID_S = 15 * 60
"""Seconds that a person may take at the provider. Longer: an old page works for longer. Shorter:
people who look for their second factor begin again.
"""

_KEPT = 3
"""Sign-ins that one browser may have begun, in several tabs. More: the cookie becomes too large."""

_MAX_ADDRESS = 500
"""Characters of an address to return to. More: as above. Fewer: a filter with many parts is lost."""

_KEY = "openid"

Cookie = MutableMapping[str, Any]


class Pending(NamedTuple):
    """A sign-in that was begun."""

    state: str
    """What the provider's answer must repeat: else it is no answer to this browser's request."""

    nonce: str
    """What the ID token must repeat: else it was issued for another request."""

    verifier: str
    """What only this browser's code can be exchanged with (PKCE, RFC 7636)."""

    to: str
    """The address of this site where the person wanted to go."""

    zone: str | None
    """The time zone of the browser; None: it is not known."""

    begun_s: int
    """When, in seconds since 1970."""

    again: bool
    """Whether the provider was asked to have the person prove again who they are."""


def begin(cookie: Cookie, to: str, zone: str | None, now_s: int, *, again: bool) -> Pending:
    """Begin a sign-in, and have the browser remember it."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    to = to if len(to) <= _MAX_ADDRESS else "/"
    pending = Pending(state, nonce, verifier, to, zone, now_s, again)
    cookie[_KEY] = [*_begun(cookie), list(pending)][-_KEPT:]
    return pending


def take(cookie: Cookie, state: str, now_s: int) -> Pending | None:
    """Return the sign-in that an answer belongs to, and have the browser forget it. None: it was not
    begun here, or too long ago.
    """
    begun = [Pending(*values) for values in _begun(cookie)]
    cookie[_KEY] = [list(pending) for pending in begun if pending.state != state]
    found = next((pending for pending in begun if pending.state == state), None)
    return found if found and 0 <= now_s - found.begun_s <= VALID_S else None


def address_to_sign_in(endpoint: str, client_id: str, return_to: str, pending: Pending) -> str:
    """Return the address at the provider where the person signs in."""
    digest = hashlib.sha256(pending.verifier.encode()).digest()
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": return_to,
        "scope": "openid email",
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    if pending.again:
        parameters |= {"prompt": "login", "max_age": "0"}
    return endpoint + ("&" if "?" in endpoint else "?") + urlencode(parameters)


def _begun(cookie: Cookie) -> list[list[Any]]:
    begun: list[list[Any]] = cookie.get(_KEY, [])
    return begun
