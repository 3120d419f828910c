"""A supplier in a real browser: from the link that an administrator makes to a test of a callback."""

from playwright.sync_api import Browser

from schemas.people import Role
from tests.browser.scene import Scene
from tests.kit.browser import LOOKS, Window


def test_the_page_that_shows_a_link_is_accessible(scene: Scene, browser: Browser) -> None:
    """It has no address at which the other test could look at it."""
    with scene.window(browser, Role.ADMIN) as window:
        window.open(scene.filled("/tokens/<token_id>/supplier"))
        window.page.get_by_role("button", name="Make a link").click()
        window.page.get_by_label("The link").wait_for()
        found = {}
        for look in LOOKS:
            window.look(look)
            found[look] = window.violations()

        assert found == {look: [] for look in LOOKS}
        assert window.complaints == []


def test_a_supplier_reads_local_times_and_sends_a_test_in_place(
    scene: Scene, browser: Browser
) -> None:
    """The zone is the browser's own, and the page stays as it is while the answer is put in."""
    context = browser.new_context(timezone_id="Europe/Rome", reduced_motion="reduce")
    window = Window(context.new_page(), scene.base)
    scene.open_as_supplier(browser, window, scene.ids["token_id"])
    page = window.page
    page.get_by_text("(Europe/Rome)").wait_for()

    callback = page.locator("#message-received")
    callback.get_by_role("button", name="Send a test").click()
    callback.get_by_text("It works: the receiver answered 200").wait_for()

    assert page.url.endswith(f"/supplier/{scene.ids['token_id']}")
    assert window.violations() == []
    assert window.complaints == []
    context.close()


def test_without_scripts_the_test_is_there_too(scene: Scene, browser: Browser) -> None:
    """On the page that answers."""
    context = browser.new_context(java_script_enabled=False)
    window = Window(context.new_page(), scene.base)
    scene.open_as_supplier(browser, window, scene.ids["token_id"])

    window.page.locator("#message-received").get_by_role("button", name="Send a test").click()

    window.page.get_by_text("It works: the receiver answered 200").wait_for()
    context.close()


def test_no_process_writes_a_link_into_its_log(scene: Scene, browser: Browser) -> None:
    """It is a credential: neither that which opens the page, nor one that opens nothing."""
    with scene.window(browser) as window:
        scene.open_as_supplier(browser, window, scene.ids["token_id"])
        (cookie,) = [one for one in window.page.context.cookies() if "supplier" in one["name"]]
        dead = cookie["value"][::-1]
        window.open(f"/supplier/link?code={dead}")

    logs = "".join(scene.ringback.log(name) for name in scene.ringback.processes)
    assert logs
    assert cookie["value"] not in logs
    assert dead not in logs
