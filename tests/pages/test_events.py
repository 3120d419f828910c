"""Events: the list, who got one and who did not, and the payload."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.events.types import EventType
from schemas.people import Role
from store.tables import events
from tests.kit.html import Html
from tests.kit.pages import Site
from tests.kit.queries import counted
from tests.kit.traffic import Traffic, failed

EXHAUSTED: dict[str, Any] = {"state": DeliveryState.EXHAUSTED, "reason": "1 attempts failed"}


def test_the_list_has_the_newest_first(site: Site, traffic: Traffic) -> None:
    """With what tells one from another."""
    for ago in (90, 30, 60):
        traffic.event(f"evt_{ago}", traffic.token(), ago_s=ago)

    page = opened(site, "/events")

    assert rows(page) == ["evt_30", "evt_60", "evt_90"]
    for words in ("New Message", "chn_1", "cnv_1"):
        assert words in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=message.received", ["evt_new", "evt_old"]),
        ("type=message.status", []),
        ("within=1h", ["evt_new"]),
        ("within=24h", ["evt_new", "evt_old"]),
        ("since=2020-01-01T00:00&zone=Europe/Rome", ["evt_new", "evt_old"]),
        ("until=2020-01-01T00:00", []),
    ],
)
def test_filters_are_in_the_address(
    site: Site, traffic: Traffic, query: str, found: list[str]
) -> None:
    """It can be shared."""
    traffic.event("evt_old", traffic.token(), ago_s=7200)
    traffic.event("evt_new", traffic.token())

    assert rows(opened(site, f"/events?{query}")) == found


def test_a_wrong_filter_is_said(site: Site) -> None:
    """At its field, with what was typed."""
    response = site.browser(Role.VIEWER).open("/events?since=yesterday")

    assert response.status_code == 422
    assert 'value="yesterday"' in response.text
    assert "This cannot be read." in response.text


def test_older_events_follow_page_by_page(site: Site, traffic: Traffic) -> None:
    """Each once."""
    token = traffic.token()
    for number in range(55):
        traffic.event(f"evt_{number:02d}", token, ago_s=number)

    first = opened(site, "/events")
    (older,) = [link for link in first.links if "cursor=" in link]

    assert rows(first) + rows(opened(site, older)) == [f"evt_{n:02d}" for n in range(55)]


def test_an_event_says_who_got_it_and_who_did_not_and_why(site: Site, traffic: Traffic) -> None:
    """The question of every supplier who misses one."""
    got, lost = traffic.token("Got it all"), traffic.token("Has trouble")
    traffic.token("Sees another", channels=["chn_9"])
    traffic.token("Has no callback for it", EventType.MESSAGE_STATUS)
    traffic.event("evt_1", got, lost, ago_s=-1)
    arrived = traffic.settled("evt_1", got)
    traffic.settled("evt_1", lost, [failed()], **EXHAUSTED)

    page = opened(site, "/events/evt_1")

    for words in (
        "Got it all crm.example Got it",
        "Has trouble crm.example Did not get it Delivery All attempts failed.",
        "Sees another crm.example Did not get it Its token may not see this channel. As things",
    ):
        assert words in page.text
    assert "Has no callback for it" not in page.text
    assert f"/deliveries/{arrived}" in page.links


def test_what_was_never_made_leads_to_sending_it(site: Site, traffic: Traffic) -> None:
    """For this token and this event."""
    token = traffic.token("Came late")
    traffic.event("evt_1", ago_s=-1)
    traffic.event("evt_2", ago_s=-2)
    browser = site.browser(Role.ADMIN)

    page = Html(browser.open("/events/evt_1").text)
    (link,) = [link for link in page.links if "states=missing" in link]
    asked = Html(browser.open(link).text)

    assert token.name in asked.text
    assert "1 will be sent again." in asked.text
    assert "states=missing" not in site.browser(Role.VIEWER).open("/events/evt_1").text


def test_an_event_for_no_one_says_so(site: Site, traffic: Traffic) -> None:
    """It is kept all the same."""
    traffic.event("evt_1")

    assert "No token has a callback for this type of event." in opened(site, "/events/evt_1").text


def test_another_content_under_the_same_id_is_mentioned(site: Site, traffic: Traffic) -> None:
    """A mistake of a backend that loses events."""
    traffic.event("evt_1", text="one")
    traffic.event("evt_1", text="two")

    assert "Another event came 1 time under this id" in opened(site, "/events/evt_1").text


def test_the_payload_has_a_page_of_its_own(site: Site, traffic: Traffic) -> None:
    """All of it, however long, laid out or as it was sent."""
    traffic.event("evt_1", traffic.token())
    body = json.dumps({"data": [{"number": number} for number in range(5000)]}).encode()
    with site.database.write() as connection:
        connection.execute(sa.update(events).values(body=body))
    browser = site.browser(Role.VIEWER)

    beginning = browser.open("/events/evt_1").text
    laid_out = Html(browser.open("/events/evt_1/payload").text)
    as_sent = Html(browser.open("/events/evt_1/payload?as=sent").text)

    assert len(beginning.encode()) <= 100_000
    assert "/events/evt_1/payload" in Html(beginning).links
    assert "4999" not in beginning
    assert "4999" in laid_out.text
    assert body.decode() in as_sent.text


def test_a_page_is_small_and_asks_the_store_little(site: Site, traffic: Traffic) -> None:
    """However many callbacks there are."""
    tokens = [traffic.token(f"{'x' * 90}{number}") for number in range(110)]
    traffic.event("evt_1", *tokens[:60], ago_s=-1)
    for token in tokens[:30]:
        traffic.settled("evt_1", token, [failed()], **EXHAUSTED)
    browser = site.browser(Role.ADMIN)

    with counted(site.database) as queries:
        page = browser.open("/events/evt_1").text
    with counted(site.database) as of_list:
        browser.open("/events?type=message.received")

    assert "And 10 more." in page
    assert len(page.encode()) <= 100_000
    assert len(queries) <= 11, queries  # one counts the callbacks that are left out
    assert len(of_list) <= 10, of_list


def test_there_is_no_page_of_an_event_that_is_not_there(site: Site) -> None:
    """Nor of its payload."""
    browser = site.browser(Role.VIEWER)

    for path in ("", "/payload", "/payload.json"):
        assert browser.open(f"/events/evt_none{path}").status_code == 404


def opened(site: Site, path: str, role: Role = Role.VIEWER) -> Html:
    response = site.browser(role).open(path)
    assert response.status_code == 200, response.text
    return Html(response.text)


def rows(page: Html) -> list[str]:
    return [given["data-row"] for _, given in page.elements if "data-row" in given]
