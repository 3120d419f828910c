"""Signing in by OpenID Connect, at a provider that is real but for its people."""

from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from dashboard import parts
from dashboard.oidc import flow
from schemas.people import Role
from schemas.times import UnixMs
from tests.kit.oidc import KID, Provider, public_jwk
from tests.kit.openid import ADMIN, START, begun, is_in, require_refusal, returned, signed_in
from tests.kit.pages import PASSWORD, Site
from tests.kit.people import done_to
from tests.kit.tokens import TESTER, token_fields


def test_a_person_signs_in_at_the_provider_and_lands_where_they_wanted(
    openid: Site, provider: Provider
) -> None:
    """With a session like any other, which the log shows."""
    browser = openid.browser()
    provider.claims["email"] = "Admin@Example.com"

    response = signed_in(browser, provider, "/people?cursor=")

    assert (response.status_code, response.location) == (303, "/people?cursor=")
    assert browser.open("/people").status_code == 200
    assert done_to(openid.database, ADMIN)[-1] == "signed_in"
    assert openid.parts.people.get(ADMIN).role is Role.ADMIN
    assert f'href="{START}?next=' in openid.browser().open("/sign-in").text


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_every_algorithm_with_a_public_key_is_accepted(
    openid: Site, provider: Provider, algorithm: str
) -> None:
    """Keys of other kinds under the same name do not disturb it."""
    provider.algorithm = algorithm
    provider.keys = [
        public_jwk(algorithm, KID),
        public_jwk("RS256" if algorithm == "EdDSA" else "EdDSA", KID, 2),
        {"kty": "oct", "kid": KID, "k": "AAAA"},
        {"kty": "RSA", "kid": KID, "use": "enc", "n": "AQAB", "e": "AQAB"},
    ]

    assert signed_in(openid.browser(), provider).status_code == 303


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_client_authenticates_as_the_provider_wants(
    openid: Site, provider: Provider, method: str
) -> None:
    """With whatever characters are in the secret."""
    provider.described = {"token_endpoint_auth_methods_supported": ["private_key_jwt", method]}

    assert signed_in(openid.browser(), provider).status_code == 303


def test_an_answer_to_another_browser_is_refused(openid: Site, provider: Provider) -> None:
    """Someone could have begun it, to have others sign in as them."""
    back = provider.visit(begun(openid.browser()))
    other = openid.browser()

    require_refusal(openid, returned(other, back), "unknown_state", "not begun in this browser")
    assert not is_in(other)


def test_an_answer_works_once(openid: Site, provider: Provider) -> None:
    """It stands in the history of the browser."""
    browser = openid.browser()
    back = provider.visit(begun(browser))
    assert returned(browser, back).status_code == 303

    require_refusal(openid, returned(browser, back), "unknown_state", "not begun in this browser")


def test_an_answer_that_comes_too_late_is_refused(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old page must not sign someone in that evening."""
    browser = openid.browser()
    back = provider.visit(begun(browser))
    monkeypatch.setattr(flow, "VALID_S", -1)

    require_refusal(openid, returned(browser, back), "unknown_state", "too long ago")


def test_a_code_that_was_stolen_is_worth_nothing(openid: Site, provider: Provider) -> None:
    """Neither used nor unused: it belongs to the secret that only the first browser has (PKCE)."""
    victim, thief = openid.browser(), openid.browser()
    stolen = provider.visit(begun(victim))
    own = parse_qs(urlsplit(begun(thief)).query)["state"][0]
    code = parse_qs(urlsplit(stolen).query)["code"][0]

    response = thief.open("/sign-in/openid/return", query_string={"code": code, "state": own})

    require_refusal(openid, response, "code_refused", "accepts each answer once")
    assert not is_in(thief)


def test_codes_that_are_made_up_do_not_flood_the_provider(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may refuse everyone after too many. Other networks sign in meanwhile."""
    monkeypatch.setattr(parts, "OPENID_RETURNS", 2)

    def tried(address: str) -> TestResponse:
        browser = openid.browser()
        state = parse_qs(urlsplit(begun(browser)).query)["state"][0]
        back = {"state": state, "code": "made-up"}
        base = {"REMOTE_ADDR": address}
        return browser.open(START + "/return", query_string=back, environ_base=base)

    statuses = [tried("192.0.2.7").status_code for _ in range(4)]

    assert statuses == [403, 403, 429, 429]
    assert provider.asked.count("/token") == 2
    assert tried("192.0.2.8").status_code == 403
    last = tried("192.0.2.7")
    assert "Too many attempts." in last.text
    assert int(last.headers["Retry-After"]) <= 30


def test_a_zone_that_is_none_is_not_kept(openid: Site) -> None:
    """A long one would make the cookie so large that browsers drop it."""
    answer = openid.browser().open(START, query_string={"zone": token_urlsafe(5000)})

    assert answer.status_code == 303
    assert len(answer.headers["Set-Cookie"]) < 1000


def test_several_tabs_sign_in_side_by_side(openid: Site, provider: Provider) -> None:
    """The last three that were begun; an older one has to begin again."""
    browser = openid.browser()
    backs = [provider.visit(begun(browser, f"/people?n={number}")) for number in range(4)]

    assert returned(browser, backs[0]).status_code == 403
    assert [returned(browser, back).location for back in backs[1:]] == [
        f"/people?n={number}" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("supported", "said", "status"),
    [
        (True, None, 403),
        (True, "https://other.example", 403),
        (False, "https://other.example", 403),
        (True, "own", 303),
        (False, None, 303),
    ],
)
def test_an_answer_names_its_provider_where_that_is_promised(
    openid: Site, provider: Provider, supported: bool, said: str | None, status: int
) -> None:
    """RFC 9207: else another provider's answer could be mixed in."""
    provider.described = {"authorization_response_iss_parameter_supported": supported}
    provider.answer = {"iss": provider.issuer if said == "own" else said}

    response = signed_in(openid.browser(), provider)

    assert response.status_code == status
    if status == 403:
        require_refusal(openid, response, "wrong_issuer", "does not come from")


def test_a_person_whom_the_provider_refuses_is_refused(openid: Site, provider: Provider) -> None:
    """What it said is in the log alone: anyone can write it into an address."""
    provider.answer = {"code": None, "error": "access_denied", "error_description": "<b>call me"}

    response = signed_in(openid.browser(), provider)

    require_refusal(openid, response, "denied", "did not sign you in")
    assert "call me" not in response.text
    assert openid.observer.notes[0][1]["detail"] == "access_denied: <b>call me"


def test_an_answer_without_a_code_is_refused(openid: Site, provider: Provider) -> None:
    """There is nothing to ask the provider about."""
    provider.answer = {"code": None}

    require_refusal(openid, signed_in(openid.browser(), provider), "denied", "did not sign you in")


@pytest.mark.parametrize(
    ("userinfo", "kind"),
    [
        ({"sub": "1", "email": ADMIN, "email_verified": True}, None),
        ({"sub": "2", "email": ADMIN, "email_verified": True}, "provider_unavailable"),
        ({"sub": "1", "email": ADMIN}, "unverified_email"),
        ({"sub": "1"}, "no_email"),
    ],
)
def test_an_address_that_is_not_in_the_id_token_is_asked_for(
    openid: Site, provider: Provider, userinfo: dict[str, Any], kind: str | None
) -> None:
    """Of the same person."""
    provider.claims = {"email": None, "email_verified": None}
    provider.userinfo = userinfo

    response = signed_in(openid.browser(), provider)

    assert response.status_code == (303 if kind is None else 503 if "prov" in kind else 403)
    assert [fields["reason"] for _, fields in openid.observer.notes] == ([kind] if kind else [])


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_signing_in_leads_to_no_other_site(openid: Site, provider: Provider, to: str) -> None:
    """A link that someone sent would end there."""
    assert signed_in(openid.browser(), provider, to).location == "/"


def test_the_browsers_time_zone_becomes_the_persons(openid: Site, provider: Provider) -> None:
    """If they have chosen none."""
    browser = openid.browser()
    start = browser.open(START, query_string={"zone": "Europe/Rome"})
    returned(browser, provider.visit(start.location))

    assert openid.parts.people.get(ADMIN).zone == "Europe/Rome"


@pytest.mark.parametrize(
    ("again", "proved_ago_s", "is_confirmed"),
    [
        ("", None, False),
        ("", 3600, False),
        ("", 0, True),
        ("yes", None, True),
        ("yes", 3600, False),
        ("yes", 0, True),
    ],
)
def test_a_person_who_proved_just_now_who_they_are_needs_no_password(
    openid: Site, provider: Provider, again: str, proved_ago_s: int | None, is_confirmed: bool
) -> None:
    """For what needs it again: the provider may know the browser from this morning."""
    now_s = openid.database.time() // 1000
    provider.claims["auth_time"] = None if proved_ago_s is None else now_s - proved_ago_s
    browser = openid.browser()
    start = browser.open(START, query_string={"again": again}).location
    asked = parse_qs(urlsplit(start).query)

    assert ("prompt" in asked, "max_age" in asked) == (bool(again), bool(again))
    assert returned(browser, provider.visit(start)).status_code == 303
    (session,) = openid.parts.sessions.of(ADMIN, openid.database.time())
    assert (session.confirmed_at is not None) is is_confirmed


def test_who_has_no_password_proves_at_the_provider_who_they_are(
    openid: Site, provider: Provider
) -> None:
    """Before a secret is shown, and before a first password is set: someone else may have found the
    browser open. It opens in another tab, and what was sent is sent again afterwards.
    """
    provider.claims["email"] = "zoe@example.com"
    openid.parts.people.add("zoe@example.com", Role.ADMIN, TESTER)
    browser = openid.browser()
    signed_in(browser, provider)
    token = openid.parts.tokens.create(token_fields("ACME"), {}, UnixMs(1), TESTER).token
    for path, fields in (
        (f"/tokens/{token.id}/signing-secret", {"x": "y"}),
        ("/account/password", {"new_password": "new password"}),
    ):
        asked = browser.send(path, **fields)
        assert asked.status_code == 403
        assert 'href="/sign-in/openid?again=yes&amp;next=/account" target="_blank"' in asked.text
        assert f'<form method="post" action="{path}">' in asked.text
        assert "new password" not in asked.text
    assert openid.parts.people.get("zoe@example.com").password_hash is None

    start = browser.open(START, query_string={"again": "yes"}).location
    returned(browser, provider.visit(start))

    assert "whsec_" in browser.send(f"/tokens/{token.id}/signing-secret").text
    assert browser.send("/account/password", new_password="new password").status_code == 303


def test_a_password_that_is_switched_off_confirms_nothing(openid: Site, provider: Provider) -> None:
    """It may be known to more people than the provider's."""
    openid.use(local_sign_in=False)
    browser = openid.browser()
    signed_in(browser, provider)
    token = openid.parts.tokens.create(token_fields("ACME"), {}, UnixMs(1), TESTER).token

    answer = browser.send(f"/tokens/{token.id}/signing-secret", password=PASSWORD)

    assert answer.status_code == 403
    assert "whsec_" not in answer.text


def test_a_removed_person_cannot_come_back(openid: Site, provider: Provider) -> None:
    """Whatever the provider thinks of them."""
    provider.claims["email"] = "viewer@example.com"
    browser = openid.browser()
    signed_in(browser, provider)
    assert is_in(browser)

    openid.parts.people.remove("viewer@example.com", TESTER)

    assert not is_in(browser)
    assert "may not sign in here" in signed_in(browser, provider).text


def test_a_form_that_was_typed_waits_for_the_provider(openid: Site) -> None:
    """In its tab: the provider opens in another one, and the form is sent afterwards."""
    response = openid.browser().send("/people/add", email="zoe@example.com", role="admin")

    assert response.status_code == 401
    assert 'target="_blank"' in response.text
    assert '<form method="post" action="/people/add">' in response.text
    assert '<input type="hidden" name="email" value="zoe@example.com">' in response.text


def test_without_a_provider_there_is_nothing_to_be_sent_to(site: Site) -> None:
    """And no button for it."""
    assert site.browser().open(START).status_code == 404
    assert site.browser().open("/sign-in/openid/return").status_code == 404
    assert "openid" not in site.browser().open("/sign-in").text


def test_what_a_browser_remembers_of_a_sign_in_is_signed(openid: Site, provider: Provider) -> None:
    """It cannot be written by anyone else, nor read by scripts."""
    browser = openid.browser()
    cookie = browser.open(START).headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    browser.client.set_cookie("ringback-page", "e30.forged.forged")
    assert returned(browser, provider.visit(begun(openid.browser()))).status_code == 403
