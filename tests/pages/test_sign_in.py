"""Signing in by password, sessions and their cookie, and signing out."""

import re
from pathlib import Path

import pytest

from dashboard.application import MAX_FIELDS
from dashboard.http.local_address import local_address
from schemas.people import Role
from store.people.failures import FREE_FAILURES, FREE_OF_NETWORK
from store.people.sessions import Sessions
from tests.kit.pages import ORIGIN, PASSWORD, Browser, Site
from tests.kit.people import done_to
from tests.kit.tokens import TESTER

ADMIN, VIEWER = "admin@example.com", "viewer@example.com"


def tried(browser: Browser, password: str = PASSWORD, email: str = ADMIN, **fields: str) -> int:
    return browser.send("/sign-in", email=email, password=password, **fields).status_code


def is_in(browser: Browser) -> bool:
    return browser.open("/account").status_code == 200


def test_a_person_signs_in_by_password(site: Site) -> None:
    """With the address as they happen to write it; the log has it."""
    browser = site.browser()

    assert tried(browser, email="  Admin@EXAMPLE.com ") == 303
    assert is_in(browser)
    assert done_to(site.database, ADMIN)[-1] == "signed_in"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (ADMIN, PASSWORD + "x"),
        (ADMIN, ""),
        (ADMIN, "x" * 5000),
        (ADMIN, "\udc80"),
        ("eve@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("admin@example.com\0", PASSWORD),
        ("", ""),
    ],
)
def test_a_wrong_password_and_an_unknown_person_are_refused_alike(
    site: Site, email: str, password: str
) -> None:
    """So that no one finds out who has an account. What was typed is kept, but the password."""
    browser = site.browser()

    response = browser.send(
        "/sign-in", email=email.encode(errors="surrogateescape"), password=password.encode(errors="replace"),
        next="/people",
    )  # fmt: skip

    assert response.status_code == 422
    assert "E-mail or password is wrong." in response.text
    assert PASSWORD not in response.text
    assert '<input type="hidden" name="next" value="/people">' in response.text
    assert "Set-Cookie" not in response.headers
    assert ("sign_in_refused", "wrong_password") in [
        (event, fields["reason"]) for event, fields in site.observer.notes
    ]


def test_nothing_typed_becomes_markup(site: Site) -> None:
    """The address comes back in the form."""
    response = site.browser().send("/sign-in", email='"><script>alert(1)</script>', password="x")

    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert" in response.text


def test_a_password_is_hashed_for_whom_there_is_none_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of an answer must not say who has an account."""
    hashed = []
    monkeypatch.setattr(
        "dashboard.passwords.is_password", lambda _, stored: hashed.append(stored) or False
    )
    for email in (ADMIN, "eve@example.com", "no address"):
        tried(site.browser(), email=email)

    assert [stored is None for stored in hashed] == [False, True, True]


def test_guesses_at_an_account_are_made_to_wait_before_anything_is_hashed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right password waits, too: else a guess would show."""
    browser = site.browser()
    for _ in range(FREE_FAILURES):
        assert tried(browser, "wrong") == 422

    def refuse(*_: object) -> bool:
        raise AssertionError("hashed in spite of the pause")

    monkeypatch.setattr("dashboard.passwords.is_password", refuse)
    response = browser.send("/sign-in", email=ADMIN, password=PASSWORD)

    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 5
    assert re.search(r"Try again in \d seconds?\.", response.text)
    assert not is_in(browser)


def test_no_one_is_kept_out_of_a_browser_they_signed_in_with_before(site: Site) -> None:
    """By someone who guesses on and on, at the account or behind the same proxy."""
    own, stranger = site.browser(), site.browser()
    tried(own)
    own.send("/sign-out")
    for number in range(FREE_OF_NETWORK):
        tried(stranger, "guess", email=ADMIN if number < FREE_FAILURES else f"a{number}@x.example")
    assert tried(stranger) == 429

    assert tried(own) == 303


def test_a_browser_that_is_known_guesses_no_more_than_others(site: Site) -> None:
    """And only for the person who has signed in with it: each other account counts as usual."""
    own = site.browser()
    tried(own, email=VIEWER)
    own.send("/sign-out")
    for _ in range(FREE_FAILURES):
        assert tried(own, "guess", email=VIEWER) == 422
        assert tried(own, "guess", email=ADMIN) == 422

    assert tried(own, email=VIEWER) == tried(own, email=ADMIN) == 429


@pytest.mark.parametrize("cookie", ["", "x", ".", "x.é", "x." + "0" * 64])
def test_a_browser_cannot_say_itself_that_it_is_known(site: Site, cookie: str) -> None:
    """Else guesses would never wait."""
    browser = site.browser()
    browser.client.set_cookie("ringback-known", cookie)
    for _ in range(FREE_FAILURES):
        tried(browser, "guess")

    assert tried(browser) == 429


def test_guesses_from_one_network_are_made_to_wait_over_all_accounts(site: Site) -> None:
    """Also those at accounts that do not exist, and at none."""
    browser = site.browser()
    for number in range(FREE_OF_NETWORK):
        assert tried(browser, "wrong", f"{number}@example.com" if number % 2 else "") == 422

    assert tried(browser, email=VIEWER) == 429


def test_signing_in_forgives_what_was_mistyped(site: Site) -> None:
    """Else five slips in a week would make people wait."""
    browser = site.browser()
    for _ in range(3):
        for _ in range(FREE_FAILURES - 1):
            assert tried(browser, "wrong") == 422
        assert tried(browser) == 303


def test_the_secret_of_a_session_is_new_with_every_sign_in(site: Site) -> None:
    """One that someone else put into the browser, or knows, is worth nothing afterwards."""
    browser = site.browser()
    browser.client.set_cookie("ringback", "a-secret-of-someone-else")

    assert tried(browser) == 303
    first = browser.client.get_cookie("ringback")
    assert tried(browser, email=VIEWER) == 303
    second = browser.client.get_cookie("ringback")

    assert first is not None
    assert second is not None
    assert len({"a-secret-of-someone-else", first.value, second.value}) == 3
    browser.client.set_cookie("ringback", first.value)
    assert not is_in(browser), "the session before has ended"


@pytest.mark.parametrize("secret", ["", "x", "é", "\x80", "a" * 4000])
def test_no_cookie_but_the_right_one_is_a_session(site: Site, secret: str) -> None:
    """Whatever is in it."""
    response = site.browser().open("/account", headers={"Cookie": f"ringback={secret}"})

    assert response.status_code == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(site: Site) -> None:
    """By plain http it has no prefix, as browsers would refuse it."""
    cookie = site.browser().send("/sign-in", email=ADMIN, password=PASSWORD).headers["Set-Cookie"]

    assert re.fullmatch(
        r"ringback=[\w-]{43}; Expires=[^;]+; Max-Age=7776000; HttpOnly; Path=/; SameSite=Lax",
        cookie,
    )


def test_by_https_the_cookie_belongs_to_this_host_alone(site: Site) -> None:
    """No other host of the domain can put one in its place, nor can a page by http."""
    site.use(public_url="https://hooks.example")
    browser = site.browser()
    browser.client.set_cookie("ringback", "not looked at")

    def sent(path: str, **fields: str) -> list[str]:
        response = browser.client.post(
            path, data=fields, headers={"Origin": "https://hooks.example"}, base_url="https://hooks.example"
        )  # fmt: skip
        assert response.status_code == 303
        return response.headers.getlist("Set-Cookie")

    begun, known = sent("/sign-in", email=ADMIN, password=PASSWORD)
    ended = sent("/sign-out")

    assert re.match(r"__Host-ringback=[\w-]{43}; .*Secure; HttpOnly; Path=/; SameSite=Lax$", begun)
    assert any(
        re.match(r"__Host-ringback=; .*Max-Age=0; Secure; HttpOnly; Path=/; SameSite=Lax$", cookie)
        for cookie in ended
    )
    assert re.match(
        r"__Host-ringback-known=[^;]+; .*Secure; HttpOnly; Path=/; SameSite=Lax$", known
    )
    assert "Domain" not in begun + known + str(ended)


def test_signing_out_ends_the_session_and_has_the_browser_forget_it(site: Site) -> None:
    """Also for someone who kept the cookie."""
    browser = site.browser(Role.VIEWER)
    kept = browser.client.get_cookie("ringback")
    assert kept is not None

    response = browser.send("/sign-out")

    assert (response.status_code, response.location) == (303, "/sign-in")
    assert browser.client.get_cookie("ringback") is None
    browser.client.set_cookie("ringback", kept.value)
    assert not is_in(browser)
    assert browser.send("/sign-out").status_code == 303, "twice harms nothing"
    assert done_to(site.database, VIEWER)[-1] == "signed_out"


def test_a_person_who_is_removed_is_out_at_once_in_every_process(
    site: Site, tmp_path: Path
) -> None:
    """A session is looked up for each request, by whichever process answers it."""
    browser = site.browser(Role.VIEWER)
    site.use()  # another process with the same database
    other = Browser(site)
    cookie = browser.client.get_cookie("ringback")
    assert cookie is not None
    other.client.set_cookie("ringback", cookie.value)
    assert is_in(other)

    site.parts.people.remove(VIEWER, TESTER)

    assert not is_in(other)
    assert not is_in(browser)


def test_a_role_that_is_taken_away_is_gone_at_once(site: Site) -> None:
    """In sessions that have begun, too."""
    browser = site.browser(Role.ADMIN)
    site.parts.people.add("ann@example.com", Role.ADMIN, TESTER)
    site.parts.people.set_role(ADMIN, Role.VIEWER, TESTER)

    assert browser.send("/people/add", email="zoe@example.com").status_code == 403
    assert site.parts.people.find("zoe@example.com") is None


def test_a_session_that_ended_elsewhere_is_no_session(site: Site) -> None:
    """Someone pressed the button at another browser."""
    browser = site.browser(Role.VIEWER)
    Sessions(site.database).end_all(VIEWER, TESTER)

    response = browser.open("/people?cursor=a%26b")

    assert (response.status_code, response.location) == (
        303,
        "/sign-in?next=/people%3Fcursor%3Da%2526b",
    )


def test_signing_in_leads_to_the_page_that_was_wanted(site: Site) -> None:
    """With its filters; who is in already goes there directly."""
    browser = site.browser()
    form = browser.open(browser.open("/people?x=a%26b%20c").location)
    to = re.search(r'name="next" value="([^"]*)"', form.text)
    assert to
    assert to[1] == "/people?x=a%26b%20c"

    assert browser.send("/sign-in", email=ADMIN, password=PASSWORD, next=to[1]).location == to[1]
    assert browser.open("/sign-in?next=/account").location == "/account"


OTHER_SITES = [
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\n/evil.example",
    "/\r\nLocation: https://evil.example",
    "/x\\..\\..\\evil.example",
    "javascript:alert(1)",
    "evil.example",
    "",
    "/sign-in?next=/sign-in",
    "/sign-out",
    "/" + "x" * 3000,
]


@pytest.mark.parametrize("to", OTHER_SITES)
def test_signing_in_leads_to_no_other_site(site: Site, to: str) -> None:
    """Browsers read backslashes as slashes and leave out tabs and line breaks; nor does it lead in
    circles.
    """
    assert local_address(to) == "/"
    response = site.browser().send("/sign-in", email=ADMIN, password=PASSWORD, next=to)

    assert (response.status_code, response.location) == (303, "/")


@pytest.mark.parametrize(
    "to", ["/", "/people", "/people?q=a%2F%2Fb", "/x//y", "/%09/evil.example", "/é b?c=//d#e"]
)
def test_addresses_of_this_site_are_kept(to: str) -> None:
    """What is percent-encoded stays so, and stays a path."""
    assert local_address(to) == to


def test_a_form_that_was_typed_before_the_session_ended_is_kept(site: Site) -> None:
    """Lunch was longer than the session: the person signs in, looks, and sends it."""
    browser = site.browser()
    asked = browser.client.post(
        "/people/add?from=x",
        data={"email": "zoe@example.com", "role": ["admin", "viewer"], "old_password": "hidden"},
        headers={"Origin": "http://localhost"},
    )
    assert asked.status_code == 401
    assert "What you typed is kept" in asked.text
    assert "hidden" not in re.sub('type="hidden"', "", asked.text)
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', asked.text))
    assert fields["next"] == "/people/add?from=x"
    assert asked.text.count('name="resume:role"') == 2

    resumed = browser.send("/sign-in", email=ADMIN, password=PASSWORD, **fields)

    assert resumed.status_code == 200
    assert '<form method="post" action="/people/add?from=x">' in resumed.text
    assert '<input type="hidden" name="email" value="zoe@example.com">' in resumed.text
    assert site.parts.people.find("zoe@example.com") is None, "it was not sent by itself"
    assert is_in(browser)


def test_what_was_typed_survives_a_wrong_password(site: Site) -> None:
    """Two slips in a row lose nothing."""
    response = site.browser().send(
        "/sign-in", email=ADMIN, password="wrong", resumed="yes", **{"resume:name": "ACME"}
    )

    assert '<input type="hidden" name="resume:name" value="ACME">' in response.text


@pytest.mark.parametrize("path", ["/people/add", "/sign-in", "/sign-out"])
@pytest.mark.parametrize("role", [None, Role.ADMIN])
def test_a_form_with_more_fields_than_any_has_is_not_read(
    site: Site, path: str, role: Role | None
) -> None:
    """A megabyte of them would cost anyone who asks seconds of processor time, and come back as a
    page of 25 MB.
    """
    answer = site.browser(role).client.post(
        path,
        data=b"a&" * MAX_FIELDS,
        content_type="application/x-www-form-urlencoded; charset=utf-8",
        headers={"Origin": ORIGIN},
    )

    assert answer.status_code == 413
    assert len(answer.data) < 20_000


def test_a_form_without_fields_is_kept_too(site: Site) -> None:
    """A single button: its address is no page that could be looked at."""
    asked = site.browser().send("/account/end-other-sessions")
    assert 'name="resumed"' in asked.text

    resumed = site.browser().send(
        "/sign-in", email=ADMIN, password=PASSWORD, resumed="yes", next="/account/end-other-sessions"
    )  # fmt: skip

    assert '<form method="post" action="/account/end-other-sessions">' in resumed.text


def test_secrets_that_were_typed_are_not_put_on_the_screen(site: Site) -> None:
    """Someone may look over the shoulder: they are sent on unseen."""
    resumed = site.browser().send(
        "/sign-in", email=ADMIN, password=PASSWORD, resumed="yes", **{"resume:secret": "hush"}
    )

    assert "hush" not in re.sub(r'value="hush"', "", resumed.text)
    assert 'value="hush"' in resumed.text


def test_live_parts_of_a_page_notice_that_the_session_ended(site: Site) -> None:
    """The script loads the whole page again, which asks to sign in."""
    response = site.browser().open("/people", headers={"HX-Request": "true"})

    assert (response.status_code, response.headers["HX-Refresh"]) == (401, "true")


def test_where_passwords_are_switched_off_none_opens_anything(site: Site) -> None:
    """Not even the right one."""
    site.use(local_sign_in=False)
    browser = site.browser()

    response = browser.send("/sign-in", email=ADMIN, password=PASSWORD)

    assert response.status_code == 403
    assert "Signing in by password is switched off." in response.text
    assert 'type="password"' not in response.text
    assert not is_in(browser)


def test_every_page_is_kept_from_caches_and_frames(site: Site) -> None:
    """Also those that refuse."""
    for response in (
        site.browser().open("/sign-in"),
        site.browser().open("/people"),
        site.browser(Role.ADMIN).open("/people"),
        site.browser().open("/sign-in/link?code=x"),
        site.browser().open("/nothing"),
        site.browser().client.post("/sign-in"),
    ):
        assert response.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
