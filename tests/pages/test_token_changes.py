"""The pages with the changes and the deliveries of a token."""

import html
import re
from dataclasses import replace

import pytest

from schemas.people import Role
from schemas.tokens.audit_log import Actor
from tests.kit.delivery_rows import add_delivery
from tests.kit.pages import Browser, Site
from tests.kit.supplier import RECEIVED, Supplier

ANN = Actor.person("ann@example.com", "192.0.2.7")


@pytest.fixture
def supplier(site: Site) -> Supplier:
    return Supplier(site)


@pytest.fixture
def viewer(site: Site) -> Browser:
    return site.browser(Role.VIEWER)


def rename(supplier: Supplier, name: str) -> None:
    supplier.site.parts.tokens.change(supplier.id, lambda fields: replace(fields, name=name), ANN)


def rows(page: str) -> list[str]:
    """Each change as it is read."""
    items = re.findall(r'<li id="chg_\w+">(.*?)</li>', page, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", item)).split()) for item in items]


def test_a_change_says_who_did_what_when_and_from_where(
    supplier: Supplier, viewer: Browser
) -> None:
    """As one would say it."""
    rename(supplier, "ACME Europe")

    first, second, third = rows(viewer.open(supplier.path("changes")).text)

    assert re.fullmatch(
        r"ann@example\.com changed the name from “ACME CRM” to “ACME Europe”\. \d+ seconds? ago"
        r" [\w :]+ from 192\.0\.2\.7",
        first,
    )
    assert "set the callback for New Message to https://crm.example.com/hook?key=***." in second
    assert "created this token as “ACME CRM”. It may: Read conversations." in third


def test_older_changes_are_reached_page_by_page(supplier: Supplier, viewer: Browser) -> None:
    """However many there are."""
    for number in range(60):
        rename(supplier, f"name {number}")
    seen: list[str] = []
    address: str | None = supplier.path("changes")
    while address:
        page = viewer.open(address).text
        seen += rows(page)
        older = re.search(r'href="([^"]+)">Older</a>', page)
        address = older and html.unescape(older[1])

    assert len(seen) == 62
    assert "to “name 59”" in seen[0]
    assert "created this token" in seen[-1]


def test_markup_in_a_name_stays_text(supplier: Supplier, viewer: Browser) -> None:
    """Names are free text."""
    rename(supplier, "<img src=x onerror=alert(1)>")

    assert "<img src=x" not in viewer.open(supplier.path("changes")).text


def test_the_deliveries_of_the_token_are_listed_and_no_others(
    site: Site, supplier: Supplier, viewer: Browser
) -> None:
    """With the way to every filter."""
    add_delivery(site.database, "evt_own", supplier.callback.id, token_id=supplier.id)
    add_delivery(site.database, "evt_other")

    page = viewer.open(supplier.path("deliveries")).text

    assert "evt_own" in page
    assert "evt_other" not in page
    assert f'href="/deliveries?token={supplier.id}"' in page


def test_without_deliveries_the_page_says_what_to_do(
    site: Site, supplier: Supplier, viewer: Browser
) -> None:
    """An empty table explains nothing."""
    silent = viewer.open(supplier.path("deliveries")).text
    supplier.site.parts.callbacks.delete(supplier.id, RECEIVED, ANN)
    unset = viewer.open(supplier.path("deliveries")).text

    assert "Nothing was delivered for this token yet." in silent
    assert "Set up a callback" not in silent
    assert f'href="{supplier.path("callbacks")}">Set up a callback' in unset
