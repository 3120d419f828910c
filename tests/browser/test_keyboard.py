"""Single keys: what each does, that they are off while someone types, and that they can be switched
off (WCAG 2.1.4).
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from schemas.people import Role
from tests.browser.scene import Scene
from tests.kit.browser import Window

FOCUSED_ROW = """() => [...document.querySelectorAll("table[data-rows] tbody tr")]
  .findIndex((row) => row.contains(document.activeElement))"""


@pytest.fixture
def admin(scene: Scene, browser: Browser) -> Iterator[Window]:
    with scene.window(browser, Role.ADMIN) as window:
        yield window
        assert window.complaints == []


def press(window: Window, *keys: str) -> None:
    for key in keys:
        window.page.keyboard.press(key)


def test_a_slash_leads_to_the_search_where_keys_are_letters(admin: Window) -> None:
    admin.open("/")

    press(admin, "/", "j", "?", "/")

    expect(admin.page.get_by_role("searchbox")).to_have_value("j?/")
    expect(admin.page.locator("#keys")).to_be_hidden()


def test_rows_are_walked_ticked_and_sent_again_after_a_question(admin: Window) -> None:
    """Sending again leads to the page that counts: nothing is sent by a key."""
    admin.open("/deliveries")
    walked = []
    for key in ("j", "j", "k"):
        press(admin, key)
        walked.append(admin.page.evaluate(FOCUSED_ROW))
    press(admin, "x")
    ticked = admin.page.locator("tbody input:checked")
    chosen = ticked.get_attribute("value")

    press(admin, "r")

    assert walked == [0, 1, 0]
    admin.page.wait_for_url(f"**/recoveries/new?*delivery={chosen}*")


def test_the_row_itself_is_sent_again_when_none_is_ticked(admin: Window) -> None:
    admin.open("/deliveries")

    press(admin, "r")
    nowhere = admin.page.url
    press(admin, "j", "r")

    assert nowhere.endswith("/deliveries")
    admin.page.wait_for_url("**/recoveries/new?*delivery=dlv_*")


def test_one_delivery_is_tried_again_after_a_question(admin: Window, scene: Scene) -> None:
    admin.open(scene.filled("/deliveries/<failed_id>"))
    dialog = admin.page.get_by_role("dialog")

    press(admin, "r")
    expect(dialog.get_by_role("button", name="Try again now")).to_be_focused()
    press(admin, "Escape")

    expect(dialog).to_be_hidden()
    assert "/retry" not in admin.page.url


def test_the_list_of_keys_opens_and_closes(admin: Window) -> None:
    admin.open("/tokens")

    press(admin, "?")
    expect(admin.page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert admin.violations() == []
    press(admin, "Escape")

    expect(admin.page.locator("#keys")).to_be_hidden()


def test_keys_can_be_switched_off(admin: Window) -> None:
    """Speech input types single letters by accident."""
    admin.open("/account")
    switch = admin.page.get_by_label("Single keys, in this browser")
    switch.uncheck()
    admin.open("/deliveries")

    press(admin, "?", "j", "/")
    focused = admin.page.evaluate("() => document.activeElement.tagName")
    expect(admin.page.locator("#keys")).to_be_hidden()
    admin.open("/account")
    switch.check()
    press(admin, "?")

    assert focused == "BODY"
    expect(admin.page.locator("#keys")).to_be_visible()
