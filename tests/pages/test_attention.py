"""Needs attention: what fails, and what people say about it."""

import html
import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.people import Role
from schemas.readiness import Readiness
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.tables import callbacks, tokens
from tests.kit.delivery_rows import add_delivery
from tests.kit.pages import Browser, Site
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
URL = "https://crm.example/hook?key=s3cret"
HOUR = 3_600_000


class Failing:
    """One supplier whose callback fails, and has had a delivery given up."""

    def __init__(self, site: Site):
        self.site, self.now = site, site.database.time()
        made = site.parts.tokens.create(
            token_fields("ACME <b>CRM</b>"), {RECEIVED: CallbackFields(URL)}, UnixMs(1), TESTER
        )
        self.token: TokenId = made.token.id
        with site.database.read() as connection:
            self.callback = CallbackId(connection.scalar(sa.select(callbacks.c.id)) or "")
        self.set(failing_since=self.now - HOUR)
        answered = {"outcome": "http_5xx", "status_code": 503}
        columns = {"token_id": self.token, "created_at": self.now - HOUR, **answered}
        add_delivery(site.database, "evt_1", self.callback, state="exhausted", **columns)
        waiting = {"due_at": self.now + HOUR, "queued_at": self.now - HOUR}
        add_delivery(site.database, "evt_2", self.callback, **columns, **waiting)

    def set(self, **columns: object) -> None:
        with self.site.database.write() as connection:
            connection.execute(sa.update(callbacks).values(columns))

    def fields(self, **more: str) -> dict[str, str]:
        return {"callback_id": self.callback, "kind": "503"} | more


@pytest.fixture
def failing(site: Site) -> Iterator[Failing]:
    return Failing(site)


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.browser(Role.ADMIN)


def test_where_nothing_fails_the_page_says_so(admin: Browser) -> None:
    """An empty page would look broken."""
    assert "Nothing needs you." in admin.open("/attention").text


def test_a_failure_leads_to_its_deliveries_and_to_sending_all_again(
    failing: Failing, admin: Browser
) -> None:
    page = admin.open("/attention").text

    assert "Answered with status 503" in page
    assert "1 delivery in the last 7 days" in page
    of_it = f"token={failing.token}&amp;type=message.received"
    assert f'href="/deliveries?{of_it}&amp;status_code=503"' in page
    assert f'href="/recoveries/new?{of_it}"' in page


def test_names_are_no_markup_and_keys_in_urls_are_hidden(failing: Failing, admin: Browser) -> None:
    """A supplier chooses neither what the page is, nor who sees its key."""
    page = admin.open("/attention").text

    assert "ACME &lt;b&gt;CRM&lt;/b&gt;" in page
    assert "https://crm.example/hook?key=***" in page
    assert "s3cret" not in page


def test_a_disabled_callback_says_why_and_its_held_deliveries_can_be_sent(
    failing: Failing, admin: Browser
) -> None:
    failing.set(disabled_at=failing.now, disabled_reason="it answered 410")

    page = admin.open("/attention").text

    assert "Its receiver answered 410: it wants no more events" in page
    found = re.search(r'href="(/recoveries/new[^"]*)"', page)
    assert found
    form = admin.open(html.unescape(found[1])).text
    assert set(re.findall(r'name="states" value="(\w+)" checked', form)) == {"exhausted", "held"}


def test_an_acknowledged_failure_is_folded_and_comes_back(failing: Failing, admin: Browser) -> None:
    """With the note, and who knows."""
    done = admin.send("/attention/acknowledge", **failing.fields(note="They <i>know</i>"))
    assert (done.status_code, done.headers["Location"]) == (303, "/attention")

    page = admin.open("/attention").text
    assert "1 acknowledged" in page
    assert "<q>They &lt;i&gt;know&lt;/i&gt;</q>" in page
    assert "admin@example.com" in page[page.index('id="acknowledged"') :]

    admin.send("/attention/reopen", **failing.fields())
    assert "1 acknowledged" not in admin.open("/attention").text


@pytest.mark.parametrize("note", ["x" * 501, "left \u202e right"])
def test_a_note_that_cannot_be_saved_is_kept_with_its_fault(
    failing: Failing, admin: Browser, note: str
) -> None:
    """Next to its field, which is focused."""
    refused = admin.send("/attention/acknowledge", **failing.fields(note=note))

    assert refused.status_code == 422
    field = re.search(r"<textarea[^>]*aria-invalid[^>]*>([^<]*)</textarea>", refused.text)
    assert field
    assert field[1] == note
    assert "1 acknowledged" not in admin.open("/attention").text


def test_a_viewer_sees_what_fails_and_cannot_change_it(site: Site, failing: Failing) -> None:
    viewer = site.browser(Role.VIEWER)

    page = viewer.open("/attention").text

    assert "Answered with status 503" in page
    assert "<form method" not in page[page.index("<main") :]
    assert viewer.send("/attention/acknowledge", **failing.fields()).status_code == 403


def test_what_is_wrong_with_ringback_itself_is_there_too(site: Site) -> None:
    """A person who looks for what to mend looks here."""
    until = UnixMs(site.database.time() + HOUR)
    site.parts.tokens.create(token_fields("ends soon"), {}, UnixMs(1), TESTER)
    with site.database.write() as connection:
        connection.execute(sa.update(tokens).values(expires_at=until))
    site.use(
        readiness=lambda: Readiness(True, {"broker": "no connection"}),
        gauges=lambda: {"dead_letters": 3.0},
    )

    page = site.browser(Role.ADMIN).open("/attention").text

    assert "broker: no connection" in page
    assert "3 messages from backends" in page
    assert "ends soon" in page
