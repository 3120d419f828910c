"""Why someone cannot sign in by OpenID Connect."""

from enum import StrEnum

from schemas.errors import RingbackError


class Refusal(StrEnum):
    """The kinds of reasons. The values are in the log."""

    PROVIDER = "provider_unavailable"
    """The provider does not answer, or not as the standard says."""

    STATE = "unknown_state"
    """The answer belongs to no sign-in that this browser began lately."""

    DENIED = "denied"
    """The provider did not sign the person in."""

    CODE = "code_refused"
    """The provider does not accept the code: it was used before, or is too old."""

    ISSUER = "wrong_issuer"
    """The answer, or the ID token, is of another provider."""

    AUDIENCE = "wrong_audience"
    """The ID token is for another application."""

    ALGORITHM = "wrong_algorithm"
    """The ID token is signed in a way that is not accepted, or not at all."""

    SIGNATURE = "wrong_signature"
    """The ID token is not signed by a key of the provider."""

    TIME = "wrong_time"
    """The ID token has expired, or is not valid yet."""

    NONCE = "wrong_nonce"
    """The ID token belongs to another sign-in."""

    TOKEN = "malformed_token"
    """There is no ID token, or it cannot be read."""

    EMAIL = "no_email"
    """The provider does not say the person's e-mail address."""

    UNVERIFIED = "unverified_email"
    """The provider has not verified that the address is the person's."""

    UNKNOWN = "unknown_person"
    """The address is not one of the people who may sign in."""


class SignInRefused(RingbackError):
    """No sign-in, with the kind of reason and the details for operators, without secrets. `email` is
    the address that the provider gave, where it is the reason.
    """

    def __init__(self, kind: Refusal, detail: str, email: str | None = None):
        super().__init__(detail)
        self.kind, self.email = kind, email


def unavailable(detail: str) -> SignInRefused:
    """Return that the provider cannot be used at present."""
    return SignInRefused(Refusal.PROVIDER, detail)
