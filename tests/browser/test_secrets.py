"""Secrets are shown once, and are nowhere else: not behind the back button, in no address, in no
storage of the browser, on no other page, in no file and in no log.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO

import pytest
from playwright.sync_api import Browser, Page, Response

from dashboard.site_map import PAGES
from schemas.people import Role
from store.engine.database import Database
from tests.browser.scene import PASSWORD, Scene
from tests.browser.test_looks import NOT_SEEN, STATES
from tests.kit.browser import Window
from tests.kit.people import done_to

_KEPT = "() => JSON.stringify([localStorage, sessionStorage, history.state, location.href])"
_SHOWN = re.compile(r"rbk_[0-9A-Za-z]{36}|whsec_[0-9A-Za-z+/=]{40,}|code=[\w.-]{20,}")
VIEWER = "viewer@example.com"
OWN_HEADER = "a-key-of-the-receiver"


@pytest.fixture(scope="module")
def filled() -> Iterator[Scene]:
    """A Ringback of this module's own: its secrets are replaced."""
    with Scene.made() as made:
        yield made


@pytest.fixture
def admin(filled: Scene, browser: Browser) -> Iterator[Window]:
    with filled.window(browser, Role.ADMIN) as opened:
        yield opened
        assert opened.complaints == []


SHOWING = {
    "a new token": ("/tokens/new", "Create API access token"),
    "a token that is replaced": ("/tokens/<token_id>", "Replace the token"),
    "a signing secret": ("/tokens/<token_id>/callbacks", "Show the signing secret"),
    "a signing secret that is replaced": (
        "/tokens/<token_id>/callbacks",
        "Replace the signing secret",
    ),
    "a supplier's link": ("/tokens/<token_id>/supplier", "Make a link"),
    "a link": (f"/people/person?email={VIEWER}", "Make a link"),
}
"""Pages with a button that shows a secret."""

seen: list[str] = []
"""The secrets that were shown."""


@pytest.mark.parametrize("what", SHOWING)
def test_a_secret_is_gone_when_its_page_is_left(filled: Scene, admin: Window, what: str) -> None:
    """Neither going back and forward nor a reload brings it back, or does the same again."""
    page = admin.page
    shown = show(filled, admin, what)
    before = done(filled)
    nowhere_else(page, shown)

    page.reload()
    assert secrets_in(page) == []
    page.goto(filled.base + "/events")
    page.go_back()
    assert secrets_in(page) == []
    page.go_forward()
    page.go_back()
    page.reload()
    assert secrets_in(page) == []
    nowhere_else(page, shown)
    assert done(filled) == before


def test_no_page_and_no_file_has_a_secret(filled: Scene, admin: Window) -> None:
    """Of those that were shown before, or that are stored."""
    for what in SHOWING:
        show(filled, admin, what)
    token = f"/v1/tokens/{filled.ids['token_id']}/callbacks/message.received"
    url = filled.receiver.url("/ok/x")
    filled.ringback.admin.send("PUT", token, {"url": url, "headers": {"x-key": OWN_HEADER}})
    for address in [*STATES.values(), *(one.rule for one in PAGES if one.rule in NOT_SEEN)]:
        if not address.startswith("/sign-in"):
            answer = admin.page.request.get(filled.base + filled.filled(address))
            text = readable(answer.body())
            assert [one for one in [*seen, OWN_HEADER, PASSWORD] if one in text] == [], address


def test_no_log_has_a_secret(filled: Scene, admin: Window) -> None:
    """What the processes print is kept by others, for long."""
    for what in SHOWING:
        show(filled, admin, what)
    cookies = [cookie.get("value", "") for cookie in admin.page.context.cookies()]
    said = "".join(map(filled.ringback.log, filled.ringback.processes))

    assert len(seen) >= len(SHOWING)
    assert [one for one in [*seen, *cookies, PASSWORD, OWN_HEADER] if one in said] == []


def show(filled: Scene, admin: Window, what: str) -> list[str]:
    """Press the button, and return what the page shows. No cache may keep it."""
    address, button = SHOWING[what]
    admin.open(filled.filled(address))
    if what == "a new token":
        admin.page.get_by_label("Name", exact=True).fill("Secretive")
        admin.page.get_by_label("All channels, also those to come").check()
    with admin.page.expect_navigation() as navigation:
        admin.page.get_by_role("button", name=button).click()
    assert no_store(navigation.value)
    shown = secrets_in(admin.page)
    assert shown, what
    seen.extend(shown)
    return shown


def no_store(response: Response | None) -> bool:
    return response is not None and response.headers["cache-control"] == "no-store"


def secrets_in(page: Page) -> list[str]:
    """What looks like one, in the page as it is now and in its fields."""
    values = page.eval_on_selector_all("input", "fields => fields.map(({value}) => value)")
    return sorted(set(_SHOWN.findall(page.content() + "\n" + "\n".join(values))))


def nowhere_else(page: Page, shown: list[str]) -> None:
    """Neither in what the browser stores nor in the addresses of its history."""
    session = page.context.new_cdp_session(page)
    history = session.send("Page.getNavigationHistory")
    session.detach()
    kept = (
        str(page.evaluate(_KEPT)) + json.dumps(history) + json.dumps(page.context.storage_state())
    )
    assert [one for one in shown if one in kept] == []


def done(filled: Scene) -> tuple[int, ...]:
    """How many tokens there are, and how much was done to one of them and to a person."""
    tokens = filled.ringback.admin.get("/v1/tokens")["data"]
    changes = filled.ringback.admin.get(f"/v1/tokens/{filled.ids['token_id']}/changes")["data"]
    database = Database(filled.ringback.database_url)
    to_person = done_to(database, VIEWER)
    database.close()
    return len(tokens), len(changes), len(to_person)


def readable(body: bytes) -> str:
    """A body as text; of a workbook, what is in it."""
    if not zipfile.is_zipfile(BytesIO(body)):
        return body.decode(errors="replace")
    with zipfile.ZipFile(BytesIO(body)) as book:
        return "".join(book.read(name).decode(errors="replace") for name in book.namelist())
