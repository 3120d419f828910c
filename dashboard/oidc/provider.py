"""The provider: its description and keys, kept for a while, and from a code to a person's e-mail
address. Thread-safe. Everything here may wait for the provider.
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote_plus, urlsplit

from dashboard.oidc.fetching import Json, fetch
from dashboard.oidc.flow import Pending, address_to_sign_in
from dashboard.oidc.id_token import Claims, Expected, Key, UnknownKey, read_id_token
from dashboard.oidc.metadata import Metadata, address_of_metadata, read_metadata
from dashboard.oidc.refusals import Refusal, SignInRefused, unavailable

KEPT_S = 3600.0
"""Seconds after which description and keys are read again. More: a key that the provider withdrew is
accepted for longer. Less: more people wait for another request.
"""

PAUSE_S = 10.0
"""Seconds between two looks for new keys, and after a failed look. More: people wait longer after the
provider changed its keys. Fewer: forged ID tokens cause more requests to the provider.
"""

RETURN_PATH = "/sign-in/openid/return"

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Client:
    """Ringback, as the provider knows it."""

    issuer: str
    """The provider, by the address that it has in its own description."""
    client_id: str
    client_secret: str = field(repr=False)
    return_to: str
    """Where the provider sends people back to: it must know this address."""


class Identity(NamedTuple):
    """Who was signed in at the provider."""

    email: str
    """The verified e-mail address."""

    proved_s: int | None
    """When the person proved who they are, in seconds since 1970; None: the provider does not say
    it.
    """


class OpenIdProvider:
    """One provider. Every method but `name` raises SignInRefused."""

    def __init__(self, client: Client):
        self.client = client
        self._metadata = _Kept(self._fetch_metadata)
        self._keys = _Kept(self._fetch_keys)

    @property
    def name(self) -> str:
        """How people recognise the provider."""
        return urlsplit(self.client.issuer).netloc

    def address_to_sign_in(self, pending: Pending) -> str:
        """Return where a person signs in."""
        endpoint = self._metadata.value().authorization_endpoint
        client = self.client
        return address_to_sign_in(endpoint, client.client_id, client.return_to, pending)

    def require_answer(self, answer: Mapping[str, str]) -> str:
        """Return the code of an answer, if it is the provider's and the person was signed in."""
        issuer = answer.get("iss")
        if issuer is None and self._metadata.value().says_issuer:
            raise SignInRefused(Refusal.ISSUER, "the answer does not name its provider")
        if issuer is not None and issuer != self.client.issuer:
            raise SignInRefused(Refusal.ISSUER, f"the answer is of {issuer[:200]!r}")
        if error := answer.get("error"):
            said = answer.get("error_description", "")
            raise SignInRefused(Refusal.DENIED, f"{error[:100]}: {said[:500]}")
        if not (code := answer.get("code")):
            raise SignInRefused(Refusal.DENIED, "the answer holds no code")
        return code

    def identify(self, code: str, pending: Pending) -> Identity:
        """Exchange a code, and return who was signed in."""
        tokens = self._exchange(code, pending.verifier)
        client = self.client
        expected = Expected(client.issuer, client.client_id, pending.nonce)
        claims = self._claims(str(tokens.get("id_token") or ""), expected)
        if "email" not in claims:
            claims |= self._more_claims(claims["sub"], tokens)
        email = claims.get("email")
        if not isinstance(email, str) or not email:
            raise SignInRefused(Refusal.EMAIL, "the provider does not say an e-mail address")
        if claims.get("email_verified") is not True:
            raise SignInRefused(Refusal.UNVERIFIED, "the address is not verified", email[:254])
        proved_s = claims.get("auth_time")
        return Identity(email, proved_s if isinstance(proved_s, int) else None)

    def check(self) -> None:
        """Check that the provider can be used, as far as that is known before someone signs in."""
        self._metadata.value()
        if not self._keys.value():
            raise unavailable("the provider has no keys")

    def _claims(self, id_token: str, expected: Expected) -> Claims:
        try:
            return read_id_token(id_token, self._keys.value(), expected)
        except UnknownKey:
            return read_id_token(id_token, self._keys.value(PAUSE_S), expected)

    def _exchange(self, code: str, verifier: str) -> Json:
        client, metadata = self.client, self._metadata.value()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.return_to,
            "code_verifier": verifier,
        }
        headers = {}
        if metadata.is_basic:
            headers = {"Authorization": _basic(client.client_id, client.client_secret)}
        else:
            form |= {"client_id": client.client_id, "client_secret": client.client_secret}
        status, said = fetch(metadata.token_endpoint, form, headers)
        if status == 200:
            return said
        error = str(said.get("error"))[:100]
        if error == "invalid_grant":
            raise SignInRefused(Refusal.CODE, "the provider does not accept the code")
        raise unavailable(f"the provider does not exchange the code: {error} (status {status})")

    def _more_claims(self, subject: str, tokens: Json) -> Claims:
        """Return the claims that the provider keeps apart (userinfo), if they are this person's."""
        address, token = self._metadata.value().userinfo_endpoint, tokens.get("access_token")
        if address is None or not isinstance(token, str):
            return {}
        status, claims = fetch(address, headers={"Authorization": f"Bearer {token}"})
        if status != 200 or claims.get("sub") != subject:
            raise unavailable(f"the provider does not say who that was (status {status})")
        return {name: claims[name] for name in ("email", "email_verified") if name in claims}

    def _fetch_metadata(self) -> Metadata:
        address = address_of_metadata(self.client.issuer)
        status, document = fetch(address)
        if status != 200:
            raise unavailable(f"{address} answers {status}")
        return read_metadata(self.client.issuer, document)

    def _fetch_keys(self) -> Sequence[Key]:
        address = self._metadata.value().jwks_uri
        status, document = fetch(address)
        keys = document.get("keys")
        if status != 200 or not isinstance(keys, list):
            raise unavailable(f"{address} lists no keys (status {status})")
        return [key for key in keys if isinstance(key, dict)]


class _Kept(Generic[_Value]):
    """A value that is fetched when it is needed, by one thread while the others wait, and kept. An
    old one is better than none: it is used on when it cannot be fetched again.
    """

    def __init__(self, fetch: Callable[[], _Value]):
        self._fetch, self._lock = fetch, threading.Lock()
        self._value: _Value | None = None
        self._fetched_s = self._failed_s = 0.0
        self._failure: SignInRefused | None = None

    def value(self, max_age_s: float = KEPT_S) -> _Value:
        """Return the value, fetched within the last seconds if that is possible."""
        with self._lock:
            now_s = time.monotonic()
            if self._value is not None and now_s - self._fetched_s < max_age_s:
                return self._value
            if self._failure is None or now_s - self._failed_s >= PAUSE_S:
                self._renew()
            if self._value is not None:
                return self._value
            raise unavailable(str(self._failure))

    def _renew(self) -> None:
        try:
            self._value = self._fetch()
            self._fetched_s, self._failure = time.monotonic(), None
        except SignInRefused as failure:
            self._failed_s, self._failure = time.monotonic(), failure


def _basic(name: str, secret: str) -> str:
    """Return the header of HTTP Basic, both parts encoded as in a form (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
