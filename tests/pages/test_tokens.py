"""The table of tokens: search, filters, order, pages, downloads."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import openpyxl
import pytest

from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.people import Role
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from tests.kit.pages import Browser, Site
from tests.kit.site_tokens import a_token_of, main_of
from tests.kit.tokens import TESTER, token_fields

_DAY_MS = 86_400_000


def _names(browser: Browser, query: str = "") -> list[str]:
    """The names in the table, from top to bottom."""
    return re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', browser.open("/tokens" + query).text)


def _walk(browser: Browser, query: str, rel: str) -> tuple[Sequence[str], str]:
    """The names on a page, and the address of its neighbour; "" where there is none."""
    page = browser.open("/tokens" + query).text
    found = re.search(rf'<a href="([^"]*)" rel="{rel}"', page)
    return _names(browser, query), found[1].replace("&amp;", "&") if found else ""


def test_an_empty_table_says_what_to_do(site: Site) -> None:
    """The first page of a new administrator."""
    admin = main_of(site.browser(Role.ADMIN).open("/tokens").text)
    viewer = main_of(site.browser(Role.VIEWER).open("/tokens").text)

    assert "There is no API access token yet" in admin
    assert "Create new API access token" in admin
    assert "Create new API access token" not in viewer
    assert "Download API documentation" in viewer


def test_a_row_says_what_an_administrator_looks_for(site: Site) -> None:
    """State, hint, permissions, health of callbacks, last day, last use."""
    fields = replace(
        token_fields("ACME CRM", Permission.STATS_READ), expires_at=UnixMs(site.database.time() + 1)
    )
    token = a_token_of(site, fields, {EventType.MESSAGE_RECEIVED: "https://x.example/"})

    content = main_of(site.browser(Role.ADMIN).open("/tokens").text)

    for text in (f'href="/tokens/{token.id}"', token.hint, "Stats", "1 healthy", "never"):
        assert text in content


def test_a_search_and_filters_are_in_the_address(site: Site) -> None:
    """They can be sent to a colleague."""
    now = site.database.time()
    a_token_of(site, token_fields("ACME CRM"), {EventType.MESSAGE_RECEIVED: "https://x.example/"})
    a_token_of(site, replace(token_fields("Globex"), expires_at=UnixMs(now + 5 * _DAY_MS)))
    a_token_of(site, token_fields("Initech", enabled=False))
    gone = a_token_of(site, token_fields("Gone"))
    site.parts.tokens.revoke(gone.id, now, TESTER)
    browser = site.browser(Role.ADMIN)

    assert _names(browser) == ["ACME CRM", "Globex", "Initech"]
    assert _names(browser, "?search=acme") == ["ACME CRM"]
    assert _names(browser, f"?search={gone.id}&state=revoked") == ["Gone"]
    assert _names(browser, "?state=suspended") == ["Initech"]
    assert _names(browser, "?filter=expiring") == ["Globex"]
    assert _names(browser, "?filter=without_callbacks") == ["Globex", "Initech"]
    assert _names(browser, "?filter=failing") == []
    assert "No token is like that" in browser.open("/tokens?filter=failing").text


def test_a_form_without_scripts_may_send_empty_filters(site: Site) -> None:
    """As browsers do by themselves."""
    a_token_of(site)

    query = "?search=&state=&filter=&limit=10&sort=name"

    assert _names(site.browser(Role.ADMIN), query) == ["ACME CRM"]


@pytest.mark.parametrize("query", ["?state=x", "?limit=7", "?limit=1000", "?cursor=x", "?colour=x"])
def test_an_address_that_means_nothing_is_refused(site: Site, query: str) -> None:
    """Showing everything instead would look like an answer."""
    assert site.browser(Role.ADMIN).open("/tokens" + query).status_code == 422


@pytest.mark.parametrize("sort", ["name", "-name", "expires_at", "-expires_at", "-last_used_at"])
def test_pages_go_forth_and_back_in_every_order(site: Site, sort: str) -> None:
    """By keys: each token is on one page, and the way back is the way there."""
    now = site.database.time()
    for number in range(25):
        ends = None if number % 3 else UnixMs(now + (number + 1) * _DAY_MS)
        a_token_of(site, replace(token_fields(f"Token {number:02}"), expires_at=ends))
    browser = site.browser(Role.ADMIN)

    query, forth = f"?sort={sort}&limit=10", []
    addresses = []
    while query:
        addresses.append(query)
        names, query = _walk(browser, query, "next")
        forth.append(names)
    back = []
    query = addresses[-1]
    while query:
        names, query = _walk(browser, query, "prev")
        back.append(names)

    assert [len(names) for names in forth] == [10, 10, 5]
    assert back == forth[::-1]
    assert len({name for names in forth for name in names}) == 25


def test_orders_put_what_matters_first(site: Site) -> None:
    """What expires soonest; what never does comes last."""
    now = site.database.time()
    for name, ends in (("A never", None), ("B late", 9 * _DAY_MS), ("C soon", _DAY_MS)):
        expires_at = None if ends is None else UnixMs(now + ends)
        a_token_of(site, replace(token_fields(name), expires_at=expires_at))

    browser = site.browser(Role.ADMIN)

    assert _names(browser, "?sort=expires_at") == ["C soon", "B late", "A never"]
    assert 'aria-sort="ascending"' in browser.open("/tokens?sort=expires_at").text


def test_a_hundred_rows_stay_small_and_ask_the_database_little(site: Site) -> None:
    """A page of rows costs what one row does."""
    for number in range(100):
        a_token_of(
            site,
            token_fields(f"Token {number}", *Permission),
            dict.fromkeys(EventType, "https://x.example/"),
        )
    browser = site.browser(Role.ADMIN)

    page = browser.open("/tokens?limit=100")

    assert len(_names(browser, "?limit=100")) == 100
    assert len(page.data) < 100_000


def test_the_workbook_is_that_of_the_api(site: Site) -> None:
    """The person who downloaded it is in the log."""
    token = a_token_of(site)

    response = site.browser(Role.VIEWER).open("/tokens.xlsx")

    book = openpyxl.load_workbook(io.BytesIO(response.data))
    assert book.sheetnames == ["Details", "Permissions", "Callbacks"]
    assert book["Details"]["A2"].value == token.id
    assert re.fullmatch(
        r'attachment; filename="ringback-tokens-[0-9-]{10}\.xlsx"',
        response.headers["Content-Disposition"],
    )
    noted = [fields for what, fields in site.observer.notes if what == LogEvent.TOKENS_EXPORTED]
    assert noted == [{"by": "user:viewer@example.com"}]


def test_the_chat_platforms_documentation_is_offered_where_there_is_one(site: Site) -> None:
    """Next to ours."""
    site.use(platform_docs_url="https://docs.chat.example/api")

    content = main_of(site.browser(Role.ADMIN).open("/tokens").text)

    assert 'href="https://docs.chat.example/api"' in content
    assert 'href="/docs/ringback-api.html"' in content
