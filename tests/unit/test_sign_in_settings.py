"""How people may sign in, as it is set."""

import pytest

from ringback.openid import openid_provider
from ringback.settings import Settings, load
from schemas.errors import UsageError
from tests.kit.environment import given_environment

pytestmark = pytest.mark.usefixtures("bare_place")
ISSUER = "https://login.example.com/realms/Chat/"
OIDC = {"OIDC_ISSUER": ISSUER, "OIDC_CLIENT_ID": "ringback", "OIDC_CLIENT_SECRET": "hidden"}


def test_without_any_setting_people_sign_in_by_password() -> None:
    """And no provider is ever asked."""
    settings = load()

    assert settings.local_sign_in
    assert openid_provider(settings) is None


def test_a_provider_is_named_exactly_as_it_is_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its last slash: it is compared with what the provider calls itself."""
    given_environment(
        monkeypatch,
        **OIDC | {"OIDC_CLIENT_SECRET": " hidden\n"},
        LOCAL_SIGN_IN="false",
        PUBLIC_URL="https://hooks.example/",
    )

    settings = load()
    provider = openid_provider(settings)

    assert not settings.local_sign_in
    assert provider is not None
    assert provider.client.issuer == ISSUER
    assert provider.client.client_secret == "hidden"
    assert provider.client.return_to == "https://hooks.example/sign-in/openid/return"
    assert provider.name == "login.example.com"
    assert "hidden" not in repr(settings) + str(settings.shown()) + repr(provider.client)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"OIDC_CLIENT_SECRET": None}, "RINGBACK_OIDC_CLIENT_SECRET: RINGBACK_OIDC_* are set"),
        ({"OIDC_CLIENT_ID": None}, "RINGBACK_OIDC_CLIENT_ID: RINGBACK_OIDC_* are set together"),
        ({"OIDC_ISSUER": None}, "RINGBACK_OIDC_ISSUER: RINGBACK_OIDC_* are set together"),
        ({"OIDC_ISSUER": "login.example.com"}, "a URL such as https://login.example.com"),
        ({"OIDC_ISSUER": ISSUER + "?x=1"}, "a URL such as https://login.example.com"),
        ({"OIDC_ISSUER": "http://login.example.com"}, "use https://"),
        ({"OIDC_ISSUER": "https://u:hidden@login.example.com"}, "a URL such as"),
        ({"OIDC_CLIENT_SECRET": "hidden\udcff"}, "it is not UTF-8"),
        ({"LOCAL_SIGN_IN": "maybe"}, "true or false"),
    ],
)
def test_what_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], said: str
) -> None:
    """One line names the setting, and shows no secret."""
    given = {name: value for name, value in {**OIDC, **changed}.items() if value is not None}
    given_environment(monkeypatch, **given)

    with pytest.raises(UsageError) as raised:
        load()

    assert said in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_there_is_always_a_way_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords cannot be switched off without a provider."""
    given_environment(monkeypatch, LOCAL_SIGN_IN="false")

    with pytest.raises(UsageError, match="RINGBACK_LOCAL_SIGN_IN: false needs"):
        load()


def test_on_this_machine_a_provider_may_use_plain_http() -> None:
    """For trying it out."""
    settings = Settings(
        oidc_issuer="http://127.0.0.1:8180/realms/x",
        oidc_client_id="ringback",
        oidc_client_secret="hidden",
    )

    assert settings.oidc_issuer == "http://127.0.0.1:8180/realms/x"
