"""The page of a supplier in this process, and links to it."""

import datetime as dt

from werkzeug.test import TestResponse

from dashboard.http.supplier_links import signed
from dashboard.site_map import PAGES
from schemas.ids import TokenId
from tests.kit.html import Html
from tests.kit.pages import ORIGIN, Browser, Site
from tests.kit.tokens import TESTER

WEEK = dt.timedelta(days=7)
BY_LINK = [page for page in PAGES if page.by_link]
"""What needs a link."""


def link_to(site: Site, token_id: TokenId, life: dt.timedelta = WEEK) -> str:
    """The address of a new link."""
    link = site.parts.supplier_links.make(token_id, life, TESTER)
    return f"/supplier/link?code={signed(link, site.parts.cookie_keys)}"


def supplier_of(site: Site, token_id: TokenId) -> Browser:
    """A browser in which a link to this token was opened."""
    browser = site.browser()
    assert browser.open(link_to(site, token_id)).status_code == 303
    return browser


def link_shown(page: str) -> str:
    """The address of the link that an administrator's page shows, without the host."""
    (field,) = [field for field in Html(page).fields if field.get("id") == "link"]
    assert field["value"].startswith(ORIGIN)
    return field["value"].removeprefix(ORIGIN)


def answers(
    browser: Browser, token_id: TokenId, delivery_id: str, kind: str = "message.received"
) -> dict[str, TestResponse]:
    """The answer of every page that needs a link, about this delivery and callback."""
    values = {"<token_id>": token_id, "<delivery_id>": delivery_id, "<kind>": kind}
    found = {}
    for page in BY_LINK:
        path = page.rule
        for name, value in values.items():
            path = path.replace(name, value)
        found[f"{page.method} {page.rule}"] = (
            browser.send(path) if page.changes else browser.open(path)
        )
    return found
