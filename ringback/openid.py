"""The OpenID Connect provider of the settings. Called by `ringback.parts` and `ringback doctor`."""

from dashboard.oidc.provider import RETURN_PATH, Client, OpenIdProvider
from ringback.settings import Settings


def openid_provider(settings: Settings) -> OpenIdProvider | None:
    """Return the provider, which nothing was asked yet; None: people sign in by password alone."""
    if not settings.oidc_issuer:
        return None
    assert settings.oidc_client_id is not None, "the settings agree"
    assert settings.oidc_client_secret is not None, "the settings agree"
    return OpenIdProvider(
        Client(
            settings.oidc_issuer,
            settings.oidc_client_id,
            settings.oidc_client_secret,
            settings.public_url.rstrip("/") + RETURN_PATH,
        )
    )
