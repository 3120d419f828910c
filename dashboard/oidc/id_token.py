"""ID tokens: signature and claims (OpenID Connect Core 1.0, "ID Token Validation"). The only place
that knows the library.
"""

import hmac
from collections.abc import Sequence
from typing import Any, NamedTuple

import jwt

from dashboard.oidc.refusals import Refusal, SignInRefused

LEEWAY_S = 60
"""Seconds by which the clocks of provider and Ringback may differ. More: an ID token works for longer
than its provider wants. Fewer: a clock that is a little off keeps everyone out.
"""

_KEY_TYPES = {"RS256": ("RSA", None), "PS256": ("RSA", None), "ES256": ("EC", "P-256")} | {
    "EdDSA": ("OKP", "Ed25519")
}
"""The algorithms that are accepted, with type and curve of their keys. Neither `none`, nor those with
a shared secret, as which a public key could be used.
"""

_REQUIRED = ["iss", "sub", "aud", "exp", "iat"]

_KINDS: tuple[tuple[type[jwt.PyJWTError], Refusal], ...] = (
    (jwt.InvalidAlgorithmError, Refusal.ALGORITHM),
    (jwt.InvalidSignatureError, Refusal.SIGNATURE),
    (jwt.InvalidIssuerError, Refusal.ISSUER),
    (jwt.InvalidAudienceError, Refusal.AUDIENCE),
    (jwt.ExpiredSignatureError, Refusal.TIME),
    (jwt.ImmatureSignatureError, Refusal.TIME),
)

Key = dict[str, Any]
"""A JSON Web Key, as the provider lists it."""

Claims = dict[str, Any]


class Expected(NamedTuple):
    """What an ID token must say."""

    issuer: str
    client_id: str
    nonce: str


class UnknownKey(SignInRefused):
    """No key of those that are known signs in this way: the provider may have new ones."""

    def __init__(self, detail: str):
        super().__init__(Refusal.SIGNATURE, detail)


def read_id_token(token: str, keys: Sequence[Key], expected: Expected) -> Claims:
    """Return the claims of an ID token. Raises SignInRefused, of which UnknownKey is one."""
    try:
        claims = _verified(token, keys, expected)
    except jwt.PyJWTError as error:
        kind = next((kind for of, kind in _KINDS if isinstance(error, of)), Refusal.TOKEN)
        raise SignInRefused(kind, f"the ID token is refused: {error}") from None
    except (ValueError, RecursionError):
        raise SignInRefused(Refusal.TOKEN, "the ID token cannot be read") from None
    _require_party(claims, expected.client_id)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not _is_same(nonce, expected.nonce):
        raise SignInRefused(Refusal.NONCE, "the ID token belongs to another sign-in")
    return claims


def _verified(token: str, keys: Sequence[Key], expected: Expected) -> Claims:
    header = jwt.get_unverified_header(token)
    algorithm = str(header.get("alg"))
    if algorithm not in _KEY_TYPES:
        raise jwt.InvalidAlgorithmError(
            f"it is signed by {algorithm[:20]!r}, which is not one of {', '.join(_KEY_TYPES)}"
        )
    key = _key(keys, algorithm, header.get("kid"))
    return jwt.decode(
        token,
        jwt.PyJWK(key, algorithm),
        algorithms=[algorithm],
        issuer=expected.issuer,
        audience=expected.client_id,
        leeway=LEEWAY_S,
        options={"require": _REQUIRED, "enforce_minimum_key_length": True},
    )


def _key(keys: Sequence[Key], algorithm: str, kid: str | None) -> Key:
    """Return the key that may have signed. Without a name it must be the only one."""
    key_type, curve = _KEY_TYPES[algorithm]
    fitting = [
        key
        for key in keys
        if key.get("kty") == key_type
        and (curve is None or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]
    if len(fitting) != 1:
        raise UnknownKey(
            f"{len(fitting)} keys of the provider fit {algorithm} and the name {kid!r}"
        )
    return fitting[0]


def _require_party(claims: Claims, client_id: str) -> None:
    """An ID token for several applications names the one that it was issued to."""
    party, audience = claims.get("azp"), claims["aud"]
    if party != client_id and (party is not None or audience not in (client_id, [client_id])):
        raise SignInRefused(
            Refusal.AUDIENCE, f"the ID token was issued to {party!r}, another application"
        )


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
