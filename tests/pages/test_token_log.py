"""The request log of a token: what is listed, by which filter, why a request was refused, and the
downloads.
"""

import html
import io
import re

import openpyxl
import pytest

from schemas.ids import RequestId
from schemas.observer import NullObserver
from schemas.people import Role
from schemas.request_log import LoggedRequest
from schemas.times import from_rfc3339
from schemas.tokens.permissions import Permission
from store.engine import paging
from store.request_log.writer import RequestLog
from tests.kit.pages import Browser, Site
from tests.kit.requests import a_request
from tests.kit.supplier import Supplier

NOON = from_rfc3339("2026-11-22T12:00:00Z")
HOSTILE = "/<script>alert(1)</script>"


@pytest.fixture
def supplier(site: Site) -> Supplier:
    return Supplier(site)


@pytest.fixture
def viewer(site: Site) -> Browser:
    return site.browser(Role.VIEWER)


def log(supplier: Supplier, *entries: LoggedRequest) -> None:
    written = RequestLog(supplier.site.database, pytest.fail, NullObserver())
    for entry in entries:
        written.add(entry)
    written.flush()


def made(supplier: Supplier, number: int, **fields: object) -> LoggedRequest:
    """A request, so many seconds after noon."""
    given = {"path": f"/v1/{number}", "at": NOON + number * 1000} | fields
    return a_request(RequestId(f"req_{number:032x}"), supplier.id, **given)  # type: ignore[arg-type]  # as given


def paths(page: str) -> list[str]:
    return [html.unescape(path) for path in re.findall(r"<code>\w+ (/[^<]*)</code>", page)]


def test_requests_are_listed_newest_first(supplier: Supplier, viewer: Browser) -> None:
    """With all that is known of them."""
    log(supplier, *(made(supplier, number) for number in (1, 2)))

    page = viewer.open(supplier.path("log")).text

    assert paths(page) == ["/v1/2", "/v1/1"]
    assert ">Last hour</a>" in page
    assert all(text in page for text in ("192.0.2.1", "curl/8", "3 ms", f"req_{2:032x}"))
    assert page.count('data-row="req_') == 2


def test_without_requests_the_page_says_what_will_be_there(
    supplier: Supplier, viewer: Browser
) -> None:
    """An empty table explains nothing."""
    assert "Nothing was asked with this token yet." in viewer.open(supplier.path("log")).text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("allowed=false", ["/v1/3"]),
        ("status=404", ["/v1/2"]),
        ("method=POST", ["/v1/1"]),
        ("path=/v1/2", ["/v1/2"]),
        ("since=2026-11-22T12:00:02&zone=UTC", ["/v1/3", "/v1/2"]),
        ("until=2026-11-22T13:00:02&zone=Europe/Rome", ["/v1/1"]),
        ("within=1h", []),
    ],
)
def test_each_filter_of_the_api_is_in_the_address(
    supplier: Supplier, viewer: Browser, query: str, found: list[str]
) -> None:
    """So that it can be sent to a colleague."""
    log(
        supplier,
        made(supplier, 1, method="POST"),
        made(supplier, 2, status=404),
        made(supplier, 3, status=403, allowed=False, reason="suspended"),
    )

    page = viewer.open(supplier.path(f"log?{query}"))

    assert page.status_code == 200
    assert paths(page.text) == found


@pytest.mark.parametrize("query", ["status=abc", "status=99", "since=yesterday", "allowed=perhaps"])
def test_a_filter_that_cannot_be_read_is_said_at_its_field(
    supplier: Supplier, viewer: Browser, query: str
) -> None:
    """A mistyped filter must not answer with everything."""
    log(supplier, made(supplier, 1))

    page = viewer.open(supplier.path(f"log?{query}"))

    assert page.status_code == 422
    assert paths(page.text) == []
    name, _, value = query.partition("=")
    if name != "allowed":  # a choice, which only an edited address can get wrong
        assert f'id="fault-{name}"' in page.text
        assert f'value="{value}"' in page.text


def test_a_missing_permission_is_named_with_the_way_to_its_switch(
    supplier: Supplier, viewer: Browser
) -> None:
    """The commonest question of a supplier."""
    asked = {"status": 403, "allowed": False, "reason": "permission-missing"}
    log(
        supplier,
        made(supplier, 1, permission=Permission.STATS_READ, **asked),
        made(supplier, 2, permission=Permission.CONVERSATIONS_READ, **asked),
    )
    switch = f'href="{supplier.path("permissions")}#stats:read"'

    page = supplier.admin.open(supplier.path("log")).text
    seen = viewer.open(supplier.path("log")).text

    assert "It lacks the permission “Stats”." in page
    assert f"{switch}>Switch it on</a>" in page
    assert f"{switch}>See its permissions</a>" in seen
    assert "It has it now." in page
    assert "#conversations:read" not in page


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("suspended", "The token was suspended."),
        ("expired", "The token had expired."),
        ("scheduled", "The token was not valid yet."),
        ("revoked", "The token was revoked."),
        ("too-many-requests", "Too many requests at once"),
        ("quota <b>used up</b>", "quota &lt;b&gt;used up&lt;/b&gt;"),
        (None, "Refused, for a reason that was not reported."),
    ],
)
def test_every_other_reason_is_said_in_words(
    supplier: Supplier, viewer: Browser, reason: str | None, said: str
) -> None:
    """Those of the chat platform's own API as it reported them."""
    log(supplier, made(supplier, 1, status=403, allowed=False, reason=reason))

    assert said in viewer.open(supplier.path("log")).text


def test_a_request_that_was_never_completed_is_not_shown_as_an_answer(
    supplier: Supplier, viewer: Browser
) -> None:
    """The platform reports its answers later, or never."""
    log(supplier, made(supplier, 1, status=None))

    assert "not reported yet" in viewer.open(supplier.path("log")).text


def test_each_row_leads_to_a_list_that_begins_with_it(supplier: Supplier, viewer: Browser) -> None:
    """So that a request can be pointed out to a colleague."""
    log(supplier, *(made(supplier, number) for number in (1, 2, 3)))
    page = viewer.open(supplier.path("log")).text

    links = [html.unescape(link) for link in re.findall(r'<td><a href="([^"]+)"', page)]
    follow, _, anchor = links[1].partition("#")

    listed = viewer.open(follow).text
    assert paths(listed) == ["/v1/2", "/v1/1"]
    assert f'id="{anchor}"' in listed


def test_older_requests_are_reached_page_by_page(supplier: Supplier, viewer: Browser) -> None:
    """However many there are."""
    log(supplier, *(made(supplier, number) for number in range(120)))
    seen: list[str] = []
    address: str | None = supplier.path("log")
    while address:
        page = viewer.open(address).text
        seen += paths(page)
        older = re.search(r'href="([^"]+)">Older</a>', page)
        address = older and html.unescape(older[1])

    assert seen == [f"/v1/{number}" for number in reversed(range(120))]


def test_a_page_says_how_far_it_looked(
    supplier: Supplier, viewer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing found is not the same as nothing there."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 10)
    log(supplier, *(made(supplier, number) for number in range(30)))

    page = viewer.open(supplier.path("log?path=/v1/5")).text

    assert "Looked back to 22 Nov 2026 12:00:20, none fits." in page
    assert "Look further" in page


def test_the_csv_holds_what_the_filter_shows(supplier: Supplier, viewer: Browser) -> None:
    """All of it, by the code of the API."""
    log(supplier, *(made(supplier, number) for number in range(60)), made(supplier, 99, status=500))

    answer = viewer.open(supplier.path("log.csv?status=200"))

    rows = answer.text.splitlines()
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="requests-{supplier.id}.csv"'
    )
    assert len(rows) == 61
    assert "/v1/99" not in answer.text


def test_the_workbook_opens(supplier: Supplier, viewer: Browser) -> None:
    """Administrators work in Excel."""
    log(supplier, *(made(supplier, number) for number in (1, 2)))

    answer = viewer.open(supplier.path("log.xlsx"))

    sheet = openpyxl.load_workbook(io.BytesIO(answer.data)).active
    assert sheet is not None
    assert [row[2] for row in sheet.iter_rows(values_only=True)] == ["Path", "/v1/2", "/v1/1"]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_download_with_a_wrong_filter_leads_back_to_it(
    supplier: Supplier, viewer: Browser, kind: str
) -> None:
    """A file without rows would be taken for an answer."""
    answer = viewer.open(supplier.path(f"log.{kind}?status=abc"))

    assert (answer.status_code, answer.location) == (303, supplier.path("log?status=abc"))


@pytest.mark.parametrize(
    "tab", ["log", "log.csv", "log.xlsx", "changes", "deliveries", "callbacks"]
)
def test_a_token_that_does_not_exist_has_no_pages(viewer: Browser, tab: str) -> None:
    """Nor a file that looks like one of a quiet token."""
    assert viewer.open(f"/tokens/tok_nothing/{tab}").status_code == 404


def test_markup_of_a_client_stays_text(supplier: Supplier, viewer: Browser) -> None:
    """Anyone on the internet writes paths and user agents."""
    log(supplier, made(supplier, 1, path=HOSTILE, method="<B>"))

    page = viewer.open(supplier.path("log")).text

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
