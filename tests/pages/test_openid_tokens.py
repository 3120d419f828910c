"""ID tokens that sign no one in."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.kit.oidc import KID, Provider, private_key
from tests.kit.openid import is_in, require_refusal, signed_in
from tests.kit.pages import Site


def _by_no_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none", headers={"kid": KID})


def _by_the_public_key(claims: dict[str, Any]) -> str:
    """What a library accepts that lets the token choose: the key is public, the algorithm HMAC."""
    pem = (
        private_key("RS256")
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    body = jwt.encode(claims, "x" * 64, "HS256", headers={"kid": KID}).rpartition(".")[0]
    signer = jwt.get_algorithm_by_name("HS256")
    return f"{body}.{jwt.utils.base64url_encode(signer.sign(body.encode(), pem)).decode()}"


def _by_another_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, private_key("RS256", 2), "RS256", headers={"kid": KID})


def _by_an_unknown_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, private_key("RS256"), "RS256", headers={"kid": "other"})


REFUSED_CLAIMS: list[tuple[dict[str, Any], str, str]] = [
    ({"nonce": "another"}, "wrong_nonce", "belongs to another sign-in"),
    ({"nonce": None}, "wrong_nonce", "belongs to another sign-in"),
    ({"nonce": "\udc80"}, "wrong_nonce", "belongs to another sign-in"),
    ({"aud": "another"}, "wrong_audience", "for another application"),
    ({"aud": ["ringback", "another"]}, "wrong_audience", "for another application"),
    ({"azp": "another"}, "wrong_audience", "for another application"),
    ({"iss": "https://accounts.example.com"}, "wrong_issuer", "does not come from"),
    ({"exp": 1_000_000_000}, "wrong_time", "has expired"),
    ({"iat": 9_000_000_000}, "wrong_time", "has expired"),
    ({"nbf": 9_000_000_000}, "wrong_time", "has expired"),
    ({"exp": None}, "malformed_token", "cannot be read"),
    ({"sub": None}, "malformed_token", "cannot be read"),
    ({"email_verified": False}, "unverified_email", "has not verified that admin@example.com"),
    ({"email_verified": None}, "unverified_email", "has not verified that admin@example.com"),
    ({"email_verified": "true"}, "unverified_email", "has not verified that admin@example.com"),
    ({"email": ["admin@example.com"]}, "no_email", "does not say which e-mail address"),
    ({"email": "eve@example.com"}, "unknown_person", "eve@example.com may not sign in here"),
    ({"email": "admin@example.com\0"}, "unknown_person", "may not sign in here"),
]


@pytest.mark.parametrize(("claims", "kind", "said"), REFUSED_CLAIMS)
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    openid: Site, provider: Provider, claims: dict[str, Any], kind: str, said: str
) -> None:
    """It says why, and no session begins."""
    provider.claims |= claims
    browser = openid.browser()

    response = signed_in(browser, provider)

    require_refusal(openid, response, kind, said)
    assert not is_in(browser)


@pytest.mark.parametrize(
    ("sign", "kind"),
    [
        (_by_no_key, "wrong_algorithm"),
        (_by_the_public_key, "wrong_algorithm"),
        (_by_another_key, "wrong_signature"),
        (_by_an_unknown_key, "wrong_signature"),
        (lambda _: "", "malformed_token"),
        (lambda _: "a.b.c", "malformed_token"),
        (lambda _: jwt.encode({"a": 1}, private_key("RS256"), "RS384"), "wrong_algorithm"),
    ],
)
def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    openid: Site, provider: Provider, sign: Any, kind: str
) -> None:
    """The algorithm is chosen by us among those with public keys, never by the token."""
    provider.sign = sign
    browser = openid.browser()

    require_refusal(openid, signed_in(browser, provider), kind, "The answer")
    assert not is_in(browser)


def test_a_short_key_is_refused(openid: Site, provider: Provider) -> None:
    """It could be broken."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    listed = jwt.get_algorithm_by_name("RS256").to_jwk(short.public_key(), as_dict=True)
    provider.keys = [{**listed, "kid": KID}]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode({"iss": "x"}, short, "RS256", headers={"kid": KID})
    provider.sign = lambda _: token

    require_refusal(openid, signed_in(openid.browser(), provider), "malformed_token", "cannot be")
