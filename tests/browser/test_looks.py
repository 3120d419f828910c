"""Every page, in every look, as people of every kind see it: accessible, and without complaints."""

import re

import pytest
from playwright.sync_api import Browser

from dashboard.site_map import PAGES
from schemas.people import Role
from tests.browser.scene import Scene
from tests.kit.browser import LOOKS

_WIDER = "() => Math.max(0, document.documentElement.scrollWidth - innerWidth)"
"""How many pixels a page is wider than its window: it would have to be moved to be read."""

STATES = {
    "sign-in": "/sign-in",
    "dead link": "/sign-in/link?code=used",
    "overview": "/",
    "overview of a month": "/?range=30d",
    "attention": "/attention",
    "tokens": "/tokens",
    "no token": "/tokens?search=nothing",
    "new token": "/tokens/new",
    "new token by a link": "/tokens/new?name=ACME&permission=none&preset=nothing",
    "token like another": "/tokens/new?like=<token_id>",
    "token": "/tokens/<token_id>",
    "permissions": "/tokens/<token_id>/permissions",
    "visibility": "/tokens/<token_id>/visibility",
    "callbacks": "/tokens/<token_id>/callbacks",
    "failing callback": "/tokens/<broken_id>/callbacks",
    "token's deliveries": "/tokens/<token_id>/deliveries",
    "log": "/tokens/<token_id>/log",
    "changes": "/tokens/<token_id>/changes",
    "deletion": "/tokens/<token_id>/delete",
    "deliveries": "/deliveries",
    "saved view": "/deliveries?state=exhausted",
    "no delivery": "/deliveries?status_code=418",
    "delivery": "/deliveries/<delivery_id>",
    "failed delivery": "/deliveries/<failed_id>",
    "events": "/events",
    "event": "/events/<event_id>",
    "payload": "/events/<event_id>/payload",
    "recoveries": "/recoveries",
    "new recovery": "/recoveries/new?state=exhausted",
    "recovery": "/recoveries/<recovery_id>",
    "search": "/search?q=a",
    "nothing found": "/search?q=nothing-there",
    "people": "/people",
    "person": "/people/person?email=viewer@example.com",
    "account": "/account",
    "nothing there": "/tokens/nothing-there",
    "supplier's links": "/tokens/<token_id>/supplier",
    "no link to a supplier": "/supplier/link?code=altered",
    "supplier": "/supplier/<token_id>",
    "supplier whose callback fails": "/supplier/<broken_id>",
    "supplier without callbacks": "/supplier/<empty_id>",
    "supplier's deliveries": "/supplier/<token_id>/deliveries",
    "supplier's delivery": "/supplier/<token_id>/deliveries/<delivery_id>",
    "supplier's failed delivery": "/supplier/<broken_id>/deliveries/<failed_id>",
    "supplier's payload": "/supplier/<token_id>/deliveries/<delivery_id>/payload",
    "nothing there for a supplier": "/supplier/<token_id>/deliveries/<failed_id>",
}
"""Addresses by the name of what is seen there. `<…>` is filled in from the scene."""

OPEN = {"sign-in", "dead link", "no link to a supplier"}
"""What people see who are not signed in."""

NOT_SEEN = {
    "/overview.csv": "a file",
    "/tokens.xlsx": "a file",
    "/tokens/<token_id>/log.csv": "a file",
    "/tokens/<token_id>/log.xlsx": "a file",
    "/events/<event_id>/payload.json": "a file",
    "/supplier/<token_id>/deliveries/<delivery_id>/payload.json": "a file",
    "/sign-in/openid": "leads to the provider",
    "/sign-in/openid/return": "leads to the overview, or shows the sign-in",
}
"""Addresses that show no page of their own, with the reason."""


def test_every_page_is_looked_at() -> None:
    """A page that is missing from the list would be judged by no one."""
    seen = [re.sub(r"[?#].*", "", address) for address in STATES.values()]

    missing = [
        page.rule
        for page in PAGES
        if not page.changes and page.rule not in seen and page.rule not in NOT_SEEN
    ]

    assert missing == []


@pytest.mark.parametrize("state", STATES)
def test_a_page_is_accessible_in_every_look(scene: Scene, browser: Browser, state: str) -> None:
    """WCAG 2.2 A and AA, targets and the contrast of controls included."""
    supplier = re.match(r"/supplier/<(\w+)>", STATES[state])
    role = None if state in OPEN or supplier else Role.ADMIN
    with scene.window(browser, role) as window:
        if supplier:
            scene.open_as_supplier(browser, window, scene.ids[supplier[1]])
        window.open(scene.filled(STATES[state]))
        found = {}
        for look in LOOKS:
            window.look(look)
            found[look] = window.violations()
            if wider := window.page.evaluate(_WIDER):
                found[look].append(f"{wider} pixels wider than the window")

        assert found == {look: [] for look in LOOKS}
        assert window.complaints == []


def test_what_is_hard_to_see_or_to_name_is_found(scene: Scene, browser: Browser) -> None:
    """The test above would not notice if it judged nothing."""
    with scene.window(browser) as window:
        window.page.set_content(
            "<title>x</title><main><h1>x</h1><input type=text style='border: 1px solid #ddd'>"
            "<p style='color: #bbb'>faint</p></main>"
        )

        found = [violation.split(":")[0] for violation in window.violations()]

    assert {"border", "label", "color-contrast"} <= set(found)
