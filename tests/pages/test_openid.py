"""Signing in by OpenID Connect, at a provider that is real but for its people."""

from collections.abc import Iterator
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug.test import TestResponse

from dashboard import parts
from dashboard.oidc import fetching, flow
from dashboard.oidc import provider as provider_module
from schemas.people import Role
from schemas.times import UnixMs
from tests.kit.oidc import CLIENT_SECRET, KID, Provider, private_key, public_jwk
from tests.kit.pages import PASSWORD, Browser, Site
from tests.kit.people import done_to
from tests.kit.tokens import TESTER, token_fields

ADMIN = "admin@example.com"
START = "/sign-in/openid"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture
def openid(site: Site, provider: Provider) -> Site:
    """Pages where people sign in at the provider, too."""
    site.use(openid=provider.client())
    return site


def begun(browser: Browser, to: str = "/") -> str:
    """The address at the provider to which a browser is sent."""
    response = browser.open(START, query_string={"next": to})
    assert response.status_code == 303, response.text
    return response.location


def returned(browser: Browser, back: str) -> TestResponse:
    """The answer to a browser that comes back."""
    url = urlsplit(back)
    return browser.open(url.path, query_string=url.query)


def signed_in(browser: Browser, provider: Provider, to: str = "/") -> TestResponse:
    return returned(browser, provider.visit(begun(browser, to)))


def is_in(browser: Browser) -> bool:
    return browser.open("/account").status_code == 200


def require_refusal(site: Site, response: TestResponse, kind: str, said: str) -> None:
    """It is said on the page for signing in, and noted in the log."""
    assert response.status_code == (503 if kind == "provider_unavailable" else 403), response.text
    assert said in response.text
    assert 'action="/sign-in"' in response.text
    assert "aria-invalid" not in response.text, "what was typed here is not wrong"
    assert [fields["reason"] for event, fields in site.observer.notes] == [kind]
    assert CLIENT_SECRET not in str(site.observer.notes)


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


DESCRIPTION = "/.well-known/openid-configuration"


@pytest.mark.parametrize("path", [DESCRIPTION, "/token", "/keys"])
@pytest.mark.parametrize(
    "answer",
    [
        lambda: (500, b"{}"),
        lambda: (200, b"<html>"),
        lambda: (200, b"[]"),
        lambda: (302, b"{}"),
        lambda: (200, b"[" * 200_000),
        lambda: (200, b'"' + b"x" * fetching.MAX_BYTES),
        lambda: (200, b"\xff"),
    ],
)
def test_a_provider_that_answers_nonsense_is_unavailable(
    openid: Site, provider: Provider, path: str, answer: Any
) -> None:
    """At each step."""
    provider.instead[path] = answer
    browser = openid.browser()

    response = browser.open(START)
    if path != DESCRIPTION:
        response = returned(browser, provider.visit(response.location))

    require_refusal(openid, response, "provider_unavailable", "does not answer as it should")
    assert not is_in(browser)


def test_a_description_without_end_is_not_read_to_its_end(openid: Site, provider: Provider) -> None:
    """However right it is."""
    provider.described = {"padding": "x" * fetching.MAX_BYTES}

    assert openid.browser().open(START).status_code == 503


def test_a_redirect_of_the_description_is_not_followed(openid: Site, provider: Provider) -> None:
    """Where it leads is not what was set, and the client secret would go there."""
    provider.instead[DESCRIPTION] = lambda: (302, b"{}")

    assert openid.browser().open(START).status_code == 503
    assert provider.asked == [DESCRIPTION]


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://accounts.example.com"},
        {"token_endpoint": "http://login.example.com/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
        {"userinfo_endpoint": "https://[::1"},
        {"token_endpoint": None},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
    ],
)
def test_a_description_that_cannot_be_trusted_is_not(
    openid: Site, provider: Provider, described: dict[str, Any]
) -> None:
    """Above all another provider's: it would sign for everyone."""
    provider.described = described

    require_refusal(
        openid,
        openid.browser().open(START),
        "provider_unavailable",
        "does not answer as it should",
    )


def test_a_provider_that_is_away_is_said_to_be(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is asked again once it is back; not by every person at once."""
    provider.instead[DESCRIPTION] = lambda: (503, b"{}")
    browser = openid.browser()
    for _ in range(3):
        assert browser.open(START).status_code == 503
    assert provider.asked == [DESCRIPTION]

    provider.instead.clear()
    monkeypatch.setattr(provider_module, "PAUSE_S", 0)

    assert signed_in(browser, provider).status_code == 303


def test_a_provider_that_refuses_connections_is_said_to_be_away(site: Site) -> None:
    """Its name is said, and passwords still work."""
    with Provider() as gone:
        site.use(openid=gone.client())

    response = site.browser().open(START)

    require_refusal(site, response, "provider_unavailable", "127.0.0.1")
    assert is_in(site.browser(Role.VIEWER))


def test_a_provider_that_drips_is_cut_off(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, all of them would take for ever."""
    monkeypatch.setattr(fetching, "TOTAL_TIMEOUT_S", -1.0)

    require_refusal(
        openid,
        openid.browser().open(START),
        "provider_unavailable",
        "does not answer as it should",
    )


def test_description_and_keys_are_read_once(openid: Site, provider: Provider) -> None:
    """Not for each person."""
    for _ in range(3):
        assert signed_in(openid.browser(), provider).status_code == 303

    assert provider.asked.count(DESCRIPTION) == provider.asked.count("/keys") == 1


def test_a_known_provider_may_be_away_for_its_description(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before is better than no one signing in."""
    assert signed_in(openid.browser(), provider).status_code == 303
    provider.instead |= {path: lambda: (500, b"") for path in (DESCRIPTION, "/keys")}
    monkeypatch.setattr(provider_module, "KEPT_S", 0)

    assert signed_in(openid.browser(), provider).status_code == 303


def test_new_keys_of_the_provider_are_found(
    openid: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes them without a word."""
    monkeypatch.setattr(provider_module, "PAUSE_S", 0)
    assert signed_in(openid.browser(), provider).status_code == 303
    provider.keys = [public_jwk("RS256", "key-2", 2)]
    provider.sign = lambda claims: provider.signed(claims, "key-2", 2)

    assert signed_in(openid.browser(), provider).status_code == 303


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
