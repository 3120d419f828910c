"""Views that people save: theirs alone, and back in one click."""

import pytest

from schemas.people import Role
from schemas.saved_views import MAX_NAME, MOST_VIEWS
from tests.kit.html import Html
from tests.kit.pages import Browser, Site
from tests.kit.tokens import TESTER

FAILED = "/deliveries?state=exhausted&within=24h"


def save(browser: Browser, name: str, address: str = FAILED) -> str | None:
    """Save a view, and return where the browser goes."""
    return browser.send("/views", name=name, address=address).location


@pytest.mark.parametrize("role", Role)
def test_a_view_is_saved_shown_and_forgotten(site: Site, role: Role) -> None:
    """A viewer has views, too: they change nothing for anyone else."""
    browser = site.browser(role)
    assert "Save this view" in browser.open(FAILED).text

    assert save(browser, " Given  up today ") == FAILED

    assert FAILED in Html(browser.open("/deliveries").text).links
    page = browser.open(FAILED).text
    assert "Save this view" not in page
    assert 'aria-current="page" dir="auto">Given up today</a>' in page
    browser.send("/views/forget", name="Given up today", address=FAILED)
    assert "Given up today" not in browser.open("/deliveries").text.split("<h1>")[1]


def test_views_of_events_are_saved_too(site: Site) -> None:
    """Their list has filters of its own: what it does not have is left out."""
    browser = site.browser(Role.ADMIN)

    went = save(browser, "Statuses", "/events?type=message.status&state=held&cursor=x&within=")

    assert went == "/events?type=message.status"
    assert went in Html(browser.open("/events").text).links


def test_no_one_sees_those_of_others(site: Site) -> None:
    """Nor replaces or forgets them."""
    admin, viewer = site.browser(Role.ADMIN), site.browser(Role.VIEWER)
    save(admin, "Mine")

    save(viewer, "Mine", "/events?type=message.status")
    viewer.send("/views/forget", name="Mine", address=FAILED)

    assert "Mine" in admin.open("/deliveries").text
    assert FAILED in Html(admin.open("/deliveries").text).links
    assert "Mine" not in viewer.open("/deliveries").text


def test_a_name_is_used_once(site: Site) -> None:
    """Saving under it again replaces what it stood for."""
    browser = site.browser(Role.ADMIN)
    save(browser, "Mine")
    save(browser, "Mine", "/deliveries?state=held")

    links = Html(browser.open("/deliveries").text).links

    assert "/deliveries?state=held" in links
    assert FAILED not in links


@pytest.mark.parametrize("name", ["", " ", "\u200b", "x" * (MAX_NAME + 1), "a\u202eb"])
def test_a_name_that_is_none_is_refused(site: Site, name: str) -> None:
    """And the list stays as it was filtered."""
    browser = site.browser(Role.ADMIN)

    assert save(browser, name) == FAILED

    page = browser.open(FAILED).text
    assert "Not saved:" in page
    assert "Save this view" in page


def test_there_are_not_too_many(site: Site) -> None:
    """One may still be replaced."""
    browser = site.browser(Role.ADMIN)
    for number in range(MOST_VIEWS + 1):
        save(browser, f"View {number:02d}", f"/deliveries?status_code={100 + number}")
    assert "Not saved: you have 30 saved views: forget one first." in browser.open("/events").text

    save(browser, "View 00", "/deliveries?status_code=599")

    links = Html(browser.open("/deliveries").text).links
    assert "/deliveries?status_code=599" in links
    assert f"/deliveries?status_code={100 + MOST_VIEWS}" not in links


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/tokens?search=a",
        "https://evil.example/deliveries",
        "//evil.example/deliveries",
        "//[/deliveries",
        "/deliveries?event=" + "x" * 2000,
    ],
)
def test_no_other_address_is_saved_or_gone_to(site: Site, address: str) -> None:
    """A form is whatever a browser sends."""
    browser = site.browser(Role.ADMIN)
    save(browser, "Mine")

    assert browser.send("/views", name="x", address=address).status_code == 400
    assert browser.send("/views/forget", name="Mine", address=address).status_code == 400
    assert FAILED in Html(browser.open("/deliveries").text).links


def test_views_go_with_their_person(site: Site) -> None:
    """One of the same address later begins without any."""
    save(site.browser(Role.VIEWER), "Mine")
    people = site.parts.people
    people.remove("viewer@example.com", TESTER)
    people.add("viewer@example.com", Role.VIEWER, TESTER)

    assert "Mine" not in site.browser(Role.VIEWER).open("/deliveries").text
