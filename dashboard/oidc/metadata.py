"""What a provider says of itself (OpenID Connect Discovery 1.0). Pure."""

from typing import NamedTuple

import msgspec

from dashboard.oidc.fetching import Json, is_safe
from dashboard.oidc.refusals import unavailable


class _Document(msgspec.Struct):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool = False


class Metadata(NamedTuple):
    """The provider's addresses and ways."""

    authorization_endpoint: str
    """Where people sign in."""

    token_endpoint: str
    """Where a code is exchanged."""

    jwks_uri: str
    """Where its keys are."""

    userinfo_endpoint: str | None
    """Where claims are that are not in the ID token; None: nowhere."""

    is_basic: bool
    """Whether the client authenticates by HTTP Basic, which is the default; False: in the form."""

    says_issuer: bool
    """Whether its answers name it (RFC 9207), so that one without the name is not its own."""


def address_of_metadata(issuer: str) -> str:
    """Return where a provider describes itself."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def read_metadata(issuer: str, document: Json) -> Metadata:
    """Return what matters of it. Raises SignInRefused when it is another provider's, or none."""
    try:
        read = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise unavailable(f"what the provider says of itself is not usable: {error}") from None
    if read.issuer != issuer:
        raise unavailable(
            f"the provider calls itself {read.issuer!r}, not {issuer!r}: set RINGBACK_OIDC_ISSUER to"
            " that, if it is the right one"
        )
    _require_safe(read)
    methods = read.token_endpoint_auth_methods_supported or ["client_secret_basic"]
    if not {"client_secret_basic", "client_secret_post"} & {*methods}:
        raise unavailable(
            f"the provider accepts no client secret, only {', '.join(methods)}: change how it"
            " authenticates this client"
        )
    return Metadata(
        read.authorization_endpoint,
        read.token_endpoint,
        read.jwks_uri,
        read.userinfo_endpoint,
        "client_secret_basic" in methods,
        read.authorization_response_iss_parameter_supported,
    )


def _require_safe(read: _Document) -> None:
    endpoints = (
        read.authorization_endpoint,
        read.token_endpoint,
        read.jwks_uri,
        read.userinfo_endpoint or read.jwks_uri,
    )
    for address in endpoints:
        if not is_safe(address):
            raise unavailable(f"the provider's address {address!r} is not https://")
