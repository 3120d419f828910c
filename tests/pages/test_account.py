"""A person's own account."""

import re
from html import unescape

import pytest

from dashboard.browsers import browser_name
from dashboard.languages import CODES, language
from dashboard.zones import is_zone, zone, zone_names
from schemas.passwords import is_password
from schemas.people import Role
from store.people.failures import FREE_FAILURES
from tests.kit.pages import PASSWORD, Browser, Site
from tests.kit.people import done_to, sign_in

ADMIN, VIEWER = "admin@example.com", "viewer@example.com"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def viewer(site: Site) -> Browser:
    return site.browser(Role.VIEWER)


def test_a_viewer_has_an_account(viewer: Browser) -> None:
    """It changes nothing for anyone else."""
    page = viewer.open("/account").text

    assert VIEWER in page
    assert "You see everything, and change nothing." in page
    assert len(page) < 100_000


def test_language_zone_and_colours_are_kept(site: Site, viewer: Browser) -> None:
    """The colours in the browser, the others with the person."""
    answer = viewer.send("/account/preferences", language="en", zone="Europe/Rome", theme="dark")

    assert (answer.status_code, answer.location) == (303, "/account")
    page = viewer.open("/account").text
    assert "Saved." in page
    assert '<html lang="en" data-theme="dark">' in page
    assert '<option value="en" lang="en" selected>' in page
    assert 'value="Europe/Rome"' in page
    person = site.parts.people.get(VIEWER)
    assert (person.language, person.zone) == ("en", "Europe/Rome")


def test_an_administrator_chooses_whether_there_is_mail(site: Site) -> None:
    """Every mail says that it can be turned off here; viewers get none."""
    admin, viewer = site.browser(Role.ADMIN), site.browser(Role.VIEWER)

    admin.send("/account/preferences", language="", zone="", theme="")

    assert not site.parts.people.get("admin@example.com").wants_mail
    admin.send("/account/preferences", language="", zone="", theme="", wants_mail="on")
    assert site.parts.people.get("admin@example.com").wants_mail
    assert "wants_mail" not in viewer.open("/account").text


def test_what_is_left_empty_follows_browser_and_device(site: Site, viewer: Browser) -> None:
    """Also a language that there is not."""
    viewer.send("/account/preferences", language="en", zone="Europe/Rome", theme="light")

    viewer.send("/account/preferences", language="tlh", zone=" ", theme="pink")

    person = site.parts.people.get(VIEWER)
    assert (person.language, person.zone) == (None, None)
    assert "data-theme" not in viewer.open("/account").text


def test_a_zone_that_there_is_not_is_said(site: Site, viewer: Browser) -> None:
    """With the rest kept as it was typed."""
    answer = viewer.send("/account/preferences", language="en", zone='"><b>Atlantis', theme="dark")

    assert answer.status_code == 422
    assert "There is no time zone of this name" in answer.text
    assert '<option value="dark" selected>' in answer.text
    assert "<b>" not in answer.text
    assert site.parts.people.get(VIEWER).zone is None


def test_a_zone_that_this_machine_does_not_know_is_no_error(site: Site, viewer: Browser) -> None:
    """Another process stored it, with newer data."""
    site.parts.people.set_language_and_zone(VIEWER, None, "Europe/Atlantis")

    assert viewer.open("/account").status_code == 200


def test_every_zone_can_be_chosen() -> None:
    """And means what its name says."""
    assert {"UTC", "Europe/Rome", "Asia/Kolkata", "America/Sao_Paulo"} <= {*zone_names()}
    assert not any(is_zone(name) for name in ("", "../Europe/Rome", "localtime", "europe/rome"))
    assert zone(None).key == zone("Nowhere").key == "UTC"
    assert zone("Asia/Kolkata").key == "Asia/Kolkata"


def test_every_language_has_a_name() -> None:
    """In itself, for those who read no other."""
    assert [language(code).name for code in CODES] == ["English", "Italiano"]


def test_a_password_is_changed_with_the_old_one(site: Site, viewer: Browser) -> None:
    """All sessions end, and this browser has a new one: someone may have copied its cookie."""
    other, thief = site.browser(Role.VIEWER), site.browser()
    copied = viewer.client.get_cookie("ringback")
    assert copied is not None
    thief.client.set_cookie("ringback", copied.value)
    assert thief.open("/account").status_code == 200

    answer = viewer.send("/account/password", old_password=PASSWORD, new_password="new password")

    assert answer.location == "/account"
    assert "Your password has changed." in viewer.open("/account").text
    assert is_password("new password", site.parts.people.get(VIEWER).password_hash)
    assert other.open("/account").status_code == 303
    assert thief.open("/account").status_code == 303
    assert done_to(site.database, VIEWER)[-2:] == ["password_set", "signed_in"]


@pytest.mark.parametrize(
    ("old", "new", "field", "said"),
    [
        ("wrong", "new password", "old_password", "not your present password"),
        ("", "new password", "old_password", "not your present password"),
        (PASSWORD, "short", "new_password", "at least 8 characters"),
        (PASSWORD, "x" * 2000, "new_password", "too long"),
        (PASSWORD, "", "new_password", "at least 8 characters"),
    ],
)
def test_a_password_that_cannot_be_changed_stays(
    site: Site, viewer: Browser, old: str, new: str, field: str, said: str
) -> None:
    """And neither is repeated on the page."""
    answer = viewer.send("/account/password", old_password=old, new_password=new)

    assert answer.status_code == 422
    assert said in answer.text
    assert f'aria-describedby="{field}-fault' in answer.text
    assert PASSWORD not in answer.text
    assert is_password(PASSWORD, site.parts.people.get(VIEWER).password_hash)


def test_the_old_password_cannot_be_guessed_in_a_browser_that_was_left_open(
    site: Site, viewer: Browser
) -> None:
    """It is throttled as signing in is, together with that in the same browser."""
    for _ in range(FREE_FAILURES):
        viewer.send("/account/password", old_password="guess", new_password="new password")

    answer = viewer.send("/account/password", old_password=PASSWORD, new_password="new password")

    assert "Too many attempts." in answer.text
    assert is_password(PASSWORD, site.parts.people.get(VIEWER).password_hash)
    assert viewer.open("/account").status_code == 200
    viewer.send("/sign-out")
    assert viewer.send("/sign-in", email=VIEWER, password=PASSWORD).status_code == 429


def test_a_person_without_a_password_sets_a_first_one(site: Site) -> None:
    """The first administrator put it off."""
    from store.tables import people

    browser = site.browser(Role.ADMIN)
    with site.database.write() as connection:
        connection.execute(people.update().values(password_hash=None))
    assert "You have no password yet." in browser.open("/account").text

    browser.send("/account/password", new_password="new password")

    assert is_password("new password", site.parts.people.get(ADMIN).password_hash)


def test_where_passwords_are_switched_off_none_is_set(site: Site) -> None:
    """There is no form, and what is sent all the same is refused."""
    cookie = site.browser(Role.VIEWER).client.get_cookie("ringback")
    assert cookie is not None
    site.use(local_sign_in=False)
    browser = site.browser()
    browser.client.set_cookie("ringback", cookie.value)

    assert "/account/password" not in browser.open("/account").text
    assert (
        browser.send(
            "/account/password", old_password=PASSWORD, new_password="new password"
        ).status_code
        == 409
    )
    assert is_password(PASSWORD, site.parts.people.get(VIEWER).password_hash)


def test_sessions_are_listed_and_ended_one_by_one(site: Site, viewer: Browser) -> None:
    """This one is marked, and has no button."""
    now = site.database.time()
    made = site.parts.sessions.create(
        site.parts.people.get(VIEWER), "192.0.2.9", FIREFOX, now, is_confirmed=True
    )
    page = viewer.open("/account").text
    assert "Firefox, Linux" in page
    assert "192.0.2.9" in page
    assert page.count("this one") == 1
    assert re.findall(r'name="session" value="([^"]+)"', page) == [made.session.id]

    answer = viewer.send("/account/end-session", session=made.session.id)

    assert "That session has ended." in viewer.open(answer.location).text
    assert [one.id for one in site.parts.sessions.of(VIEWER, now)] != [made.session.id]
    again = viewer.send("/account/end-session", session=made.session.id)
    assert "had ended already" in viewer.open(again.location).text


def test_no_one_ends_the_sessions_of_others(site: Site, viewer: Browser) -> None:
    """By their ids, should they become known."""
    now = site.database.time()
    admins = sign_in(site.database, ADMIN, now)

    viewer.send("/account/end-session", session=admins.session.id)
    viewer.send("/account/end-other-sessions")

    assert site.parts.sessions.of(ADMIN, now) == [admins.session]


def test_all_other_sessions_are_ended_together(site: Site, viewer: Browser) -> None:
    """This one goes on."""
    others = [site.browser(Role.VIEWER) for _ in range(2)]

    answer = viewer.send("/account/end-other-sessions")

    assert "2 sessions have ended." in viewer.open(answer.location).text
    assert [other.open("/account").status_code for other in others] == [303, 303]


def test_what_a_browser_says_of_itself_is_no_markup(site: Site, viewer: Browser) -> None:
    """Anyone who signs in may say anything."""
    now = site.database.time()
    site.parts.sessions.create(
        site.parts.people.get(VIEWER), None, "<script>alert(1)</script>", now, is_confirmed=True
    )

    page = viewer.open("/account").text

    assert "<script>alert" not in page
    assert "<script>alert(1)</script>" in unescape(page)


@pytest.mark.parametrize(
    ("says", "name"),
    [
        (FIREFOX, "Firefox, Linux"),
        (
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
                " Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
            ),
            "Edge, Windows",
        ),
        (
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
                " (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
            ),
            "Safari, iPhone",
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko)"
                " Chrome/140.0.0.0 Mobile Safari/537.36"
            ),
            "Chrome, Android",
        ),
        ("curl/8.5.0", "curl"),
        ("x" * 200, "x" * 60),
        ("", None),
        (None, None),
    ],
)
def test_browsers_are_called_by_their_names(says: str | None, name: str | None) -> None:
    """People look for the one that is not theirs."""
    assert browser_name(says) == name


def test_the_keys_are_listed_on_every_page(site: Site, viewer: Browser) -> None:
    """In a dialog that a key opens; and may be switched off (WCAG 2.1.4)."""
    for path in ("/", "/people", "/account"):
        assert '<dialog id="keys"' in viewer.open(path).text
    assert "data-keys" in viewer.open("/account").text
    assert '<dialog id="keys"' not in site.browser().open("/sign-in").text
