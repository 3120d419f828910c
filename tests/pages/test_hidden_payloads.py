"""With VIEWERS_SEE_PAYLOADS=false a viewer sees no data of events and nothing that receivers
answered, on any page.
"""

from io import BytesIO
from zipfile import ZipFile

import pytest
import sqlalchemy as sa

from dashboard.site_map import PAGES
from schemas.deliveries.deliveries import DeliveryState
from schemas.people import Role
from store.tables import events
from tests.kit.pages import Browser, Site
from tests.kit.traffic import Traffic, failed

PHONE = "+393331112223"
ANSWER = "sorry-dave"
CONVERSATION = "cnv_whatsapp_393331112223"
HIDDEN = (PHONE, ANSWER, CONVERSATION)


@pytest.fixture
def addresses(site: Site, traffic: Traffic) -> list[str]:
    """The addresses of all pages, about an event with a phone number that a receiver quoted."""
    token = traffic.token("ACME CRM")
    one, other = (
        failed(
            number,
            response_headers={"x-echo": ANSWER},
            response_body=f"{ANSWER} {PHONE}".encode(),
            error=f"HTTP 500 ({ANSWER})",
        )
        for number in (1, 2)
    )
    delivery = traffic.delivery(
        "evt_1", token, one, other, state=DeliveryState.EXHAUSTED, reason="2 attempts failed"
    )
    with site.database.write() as connection:
        body = b'{"id":"evt_1","type":"message.received","schema_version":"1","timestamp":"2026-01'
        body += b'-01T00:00:00.000Z","data":{"customer":{"phone":"%s"}}}' % PHONE.encode()
        columns = {"conversation_id": CONVERSATION, "body": body}
        connection.execute(sa.update(events).values(columns))
    values = {
        "<token_id>": token.id,
        "<delivery_id>": delivery,
        "<event_id>": "evt_1",
        "<recovery_id>": "rec_none",
        "<kind>": "message.received",
    }
    return [
        *(_filled(page.rule, values) for page in PAGES if not page.changes),
        f"/deliveries/{delivery}?compare={one.id}&with={other.id}&attempt={one.id}",
        "/deliveries?state=exhausted",
        "/events/evt_1/payload?as=sent",
        "/search?q=acme",
        "/search?q=evt_1",
    ]


def test_a_viewer_sees_none_of_it(site: Site, addresses: list[str]) -> None:
    """Searched for in every answer, not only where it is expected."""
    site.use(viewers_see_payloads=False)
    browser = site.browser(Role.VIEWER)

    assert {
        address: found(browser, address) for address in addresses if found(browser, address)
    } == {}


def test_the_same_pages_show_it_to_others(site: Site, addresses: list[str]) -> None:
    """Else the test above would find nothing wherever it looked."""
    viewer = site.browser(Role.VIEWER)
    assert {text for address in addresses for text in found(viewer, address)} == set(HIDDEN)

    site.use(viewers_see_payloads=False)
    admin = site.browser(Role.ADMIN)
    assert {text for address in addresses for text in found(admin, address)} == set(HIDDEN)


def test_a_viewer_cannot_ask_for_it_by_a_search(site: Site, addresses: list[str]) -> None:
    """Whether a number is there would be an answer, too."""
    site.use(viewers_see_payloads=False)
    browser = site.browser(Role.VIEWER)

    assert browser.open(f"/search?q={CONVERSATION}").status_code == 404
    assert "conversation" not in browser.open("/search?q=nothing").text


def test_a_viewer_cannot_download_it(site: Site, addresses: list[str]) -> None:
    """The address is known to anyone."""
    site.use(viewers_see_payloads=False)
    browser = site.browser(Role.VIEWER)

    assert browser.open("/events/evt_1/payload.json").status_code == 403
    assert browser.open("/events/evt_1/payload").status_code == 403


def _filled(rule: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        rule = rule.replace(name, value)
    return rule


def found(browser: Browser, address: str) -> set[str]:
    """What an answer holds of it, be it a page or a workbook."""
    with browser.open(address) as response:
        data = response.data
    if data.startswith(b"PK"):
        with ZipFile(BytesIO(data)) as file:
            data = b" ".join(map(file.read, file.namelist()))
    return {hidden for hidden in HIDDEN if hidden.encode() in data}
