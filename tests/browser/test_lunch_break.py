"""A form that was left open for long: it is saved, or comes back as it was typed, after signing in."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Locator, Page, expect

from schemas.people import Role
from store.engine.database import Database
from store.people.sessions import Sessions
from store.tables import sessions
from tests.browser.scene import PASSWORD, Scene
from tests.kit.browser import Window
from tests.kit.tokens import TESTER

PATIENCE_MS = 30_000
ADMIN = f"{Role.ADMIN}@example.com"
HOUR_MS = 3600 * 1000


class Form(NamedTuple):
    """A form that people fill in, and what they see once it is saved."""

    address: str
    typed: Callable[[Page], Locator]
    """Fills it in, and returns the part of the page with its button."""
    button: str
    seen: str


def types_a_name(page: Page) -> Locator:
    page.get_by_label("Name", exact=True).fill("Made over lunch")
    page.get_by_role("switch", name="Read customers").check()
    page.get_by_label("All channels, also those to come").check()
    return page.get_by_role("main")


def chooses_channels(page: Page) -> Locator:
    page.get_by_label("Only the channels chosen here").check()
    page.get_by_label("Further channels").fill("chn_1\nchn_2")
    return page.get_by_role("main")


def types_an_address(page: Page) -> Locator:
    card = page.get_by_role("article", name="New Message")
    card.get_by_label("Address").fill("http://127.0.0.1:1/after-lunch?a=1&b=%20")
    card.get_by_text("Own headers").click()
    card.get_by_label("Name of a further header").first.fill("X-Meal")
    card.get_by_label("Its value").first.fill("pasta")
    return card


def types_a_note(page: Page) -> Locator:
    card = page.get_by_role("article").filter(has_text="Broken Ltd").first
    card.get_by_text("Acknowledge").first.click()
    card.get_by_label("What is done about it?").fill('They "eat", too.\nUntil two.')
    return card


def types(label: str, text: str) -> Callable[[Page], Locator]:
    """Fills in one field of a page."""

    def typed(page: Page) -> Locator:
        page.get_by_label(label).fill(text)
        return page.get_by_role("main")

    return typed


FORMS = {
    "details": Form(
        "/tokens/<token_id>",
        types("Contact", "cook@example.com"),
        "Save",
        "Saved",
    ),
    "a callback": Form(
        "/tokens/<broken_id>/callbacks",
        types_an_address,
        "Save",
        "The callback for New Message is saved.",
    ),
    "visibility": Form("/tokens/<token_id>/visibility", chooses_channels, "Save", "Saved"),
    "a new token": Form(
        "/tokens/new", types_a_name, "Create API access token", "Made over lunch is created"
    ),
    "a note": Form("/attention", types_a_note, "Acknowledge", "Acknowledged."),
    "a person": Form(
        "/people",
        types("E-mail", "zoe@example.com"),
        "Add",
        "zoe@example.com is added.",
    ),
    "preferences": Form("/account", types("Time zone", "Europe/Rome"), "Save", "Saved."),
}


SAVED_TWICE = ("details", "a callback", "visibility", "a new token", "preferences")
"""Forms that can be saved again, after a test that did."""


@pytest.fixture(scope="module")
def table() -> Iterator[Scene]:
    """A Ringback of this module's own: its forms are saved."""
    with Scene.made() as made:
        yield made


@pytest.fixture
def eater(table: Scene, browser: Browser) -> Iterator[Window]:
    """The window of an administrator, who has just signed in."""
    with table.window(browser) as opened:
        opened.page.set_default_timeout(PATIENCE_MS)
        opened.sign_in(ADMIN, PASSWORD)
        yield opened
        assert opened.complaints == []


@pytest.mark.parametrize("what", FORMS)
def test_a_form_comes_back_filled_when_the_session_has_ended(
    table: Scene, eater: Window, what: str
) -> None:
    """It is sent by one press, once the person has signed in."""
    form, page = FORMS[what], eater.page
    part = begin(table, eater, form)
    with closing(Database(table.ringback.database_url)) as database:
        Sessions(database).end_all(ADMIN, TESTER)
    press(part, form)
    sees(page, "What you typed is kept")
    page.get_by_label("E-mail").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    sees(page, "Go on where you were")
    page.get_by_role("button", name="Send it now").click()

    sees(page, form.seen)


@pytest.mark.parametrize("what", SAVED_TWICE)
def test_a_form_that_was_open_for_eight_hours_is_saved(
    table: Scene, eater: Window, what: str
) -> None:
    """Nothing in it expires."""
    form = FORMS[what]
    part = begin(table, eater, form)
    eight_hours_go_by(table)
    press(part, form)

    sees(eater.page, form.seen)


def test_what_comes_back_is_what_was_typed(table: Scene, eater: Window) -> None:
    """Every field of a form with many, values of headers included."""
    test_a_form_comes_back_filled_when_the_session_has_ended(table, eater, "a callback")

    token = table.ringback.admin.get(f"/v1/tokens/{table.ids['broken_id']}")
    callback = token["callbacks"]["message.received"]
    assert callback["url"] == "http://127.0.0.1:1/after-lunch?a=1&b=%20"
    assert callback["header_names"] == ["X-Meal"]


def test_a_secret_is_shown_after_lunch_once_the_password_is_given(
    table: Scene, eater: Window
) -> None:
    """Someone else may have sat down, and the form goes on where it was."""
    eater.open(table.filled("/tokens/<token_id>/callbacks"))
    eight_hours_go_by(table)
    eater.page.get_by_role("button", name="Show the signing secret").click()
    sees(eater.page, "Your password, once more")
    eater.page.get_by_label("Password").fill(PASSWORD)
    eater.page.get_by_role("button", name="Go on").click()

    expect(eater.page.get_by_role("textbox", name="Signing secret")).to_be_visible()


def test_a_list_that_goes_on_asks_to_sign_in(table: Scene, eater: Window) -> None:
    """And then leads back to what was looked at."""
    eater.open("/deliveries?state=delivered")
    with closing(Database(table.ringback.database_url)) as database:
        Sessions(database).end_all(ADMIN, TESTER)
    expect(eater.page.get_by_label("Password")).to_be_visible(timeout=PATIENCE_MS)
    eater.page.get_by_label("E-mail").fill(ADMIN)
    eater.page.get_by_label("Password").fill(PASSWORD)
    eater.page.get_by_role("button", name="Sign in").click()

    eater.page.wait_for_url("**/deliveries?state=delivered")


def begin(table: Scene, eater: Window, form: Form) -> Locator:
    """Open a form, and fill it in. Return the part of the page with its button."""
    eater.open(table.filled(form.address))
    return form.typed(eater.page)


def press(part: Locator, form: Form) -> None:
    part.get_by_role("button", name=form.button, exact=True).first.click()


def sees(page: Page, text: str) -> None:
    expect(page.get_by_role("main").get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def eight_hours_go_by(table: Scene) -> None:
    """For all sessions: they began earlier, and so did everything in them."""
    earlier = {
        column: column - 8 * HOUR_MS
        for column in (sessions.c.created_at, sessions.c.seen_at, sessions.c.confirmed_at)
    }
    with closing(Database(table.ringback.database_url)) as database, database.write() as connection:
        connection.execute(sa.update(sessions).values(earlier))
