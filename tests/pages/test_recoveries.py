"""Sending again: counted first, started by a person, followed over a reload, stopped."""

from typing import Any

import pytest
import sqlalchemy as sa

from consumers.maintenance.recovery_runner import RecoveryRunner
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.deliveries.recoveries import Recoverable
from schemas.observer import NullObserver
from schemas.people import Role
from store.tables import deliveries, recoveries
from tests.kit.html import Html
from tests.kit.pages import Browser, Site
from tests.kit.traffic import Traffic, failed

EXHAUSTED: dict[str, Any] = {"state": DeliveryState.EXHAUSTED, "reason": "1 attempts failed"}


def test_all_that_match_are_counted_before_anything_happens(site: Site, traffic: Traffic) -> None:
    """The person sees how many, and may go back."""
    token = traffic.token()
    for number in range(3):
        traffic.delivery(f"evt_{number}", token, failed(), **EXHAUSTED)
    traffic.delivery("evt_arrived", token)
    browser = site.browser(Role.ADMIN)

    (link,) = [
        link
        for link in Html(browser.open(f"/deliveries?token={token.id}&within=24h").text).links
        if link.startswith("/recoveries/new")
    ]
    page = Html(browser.open(link).text)

    assert "3 will be sent again." in page.text
    assert "ACME CRM" in page.text
    assert counted(site) == 0


def test_what_was_counted_is_what_is_sent_again(site: Site, traffic: Traffic) -> None:
    """Neither what came meanwhile nor what the filter leaves out."""
    token = traffic.token()
    for number in range(3):
        traffic.delivery(f"evt_{number}", token, failed(1, Outcome.HTTP_4XX, 404), **EXHAUSTED)
    traffic.delivery("evt_other", token, failed(), **EXHAUSTED)
    browser = site.browser(Role.ADMIN)
    page = Html(browser.open("/recoveries/new?status_code=404&state=exhausted").text)
    traffic.delivery("evt_late", token, failed(1, Outcome.HTTP_4XX, 404), ago_s=-1, **EXHAUSTED)

    response = browser.send("/recoveries/new", **start_form(page))
    work(site)

    assert "3 will be sent again." in page.text
    assert recovering(site) == {"evt_0", "evt_1", "evt_2"}
    assert "3 of 3" in Html(browser.open(response.location).text).text


def test_what_is_ticked_is_sent_again(site: Site, traffic: Traffic) -> None:
    """Nothing else, and those that need nothing are said."""
    token = traffic.token()
    ticked = [traffic.delivery(f"evt_{n}", token, failed(), **EXHAUSTED) for n in range(2)]
    ticked.append(traffic.delivery("evt_arrived", token))
    traffic.delivery("evt_not", token, failed(), **EXHAUSTED)
    browser = site.browser(Role.ADMIN)

    chosen = "&".join(f"delivery={one}" for one in ticked)
    page = Html(browser.open(f"/recoveries/new?{chosen}").text)
    browser.send("/recoveries/new", **start_form(page))
    work(site)

    assert "2 will be sent again." in page.text
    assert "Of the 3 that were ticked, the others need nothing" in page.text
    assert recovering(site) == {"evt_0", "evt_1"}


def test_the_states_can_be_chosen(site: Site, traffic: Traffic) -> None:
    """What was given up, what is held, and what was never made."""
    token = traffic.token()
    traffic.delivery("evt_1", token, failed(), **EXHAUSTED)
    browser = site.browser(Role.ADMIN)

    usual = Html(browser.open("/recoveries/new?within=24h").text)
    held = Html(browser.open("/recoveries/new?within=24h&states=held").text)

    assert checked(usual) == [Recoverable.EXHAUSTED, Recoverable.HELD]
    assert "1 will be sent again." in usual.text
    assert "Nothing of this has to be sent again." in held.text
    assert start_button(usual)
    assert not start_button(held)


@pytest.mark.parametrize("state", ["delivered", "pending", "cancelled", "superseded"])
def test_what_cannot_be_sent_again_together_is_said(site: Site, state: str) -> None:
    """A button that does nothing would be worse."""
    page = Html(site.browser(Role.ADMIN).open(f"/recoveries/new?state={state}").text)

    assert "Nothing in this state can be sent again together" in page.text


def test_a_wrong_filter_leads_back_to_it(site: Site) -> None:
    """There its fault is said."""
    response = site.browser(Role.ADMIN).open("/recoveries/new?status_code=abc")

    assert (response.status_code, response.location) == (303, "/deliveries?status_code=abc")


def test_its_progress_is_there_after_a_reload(site: Site, traffic: Traffic) -> None:
    """It is a job of the dispatchers: the page only looks."""
    browser = site.browser(Role.ADMIN)
    address = started(browser, traffic)

    before = browser.open(address).text
    work(site)
    after = Html(site.browser(Role.VIEWER).open(address).text)

    assert 'data-live="2"' in before
    assert "0 of 1" in Html(before).text
    assert "1 of 1" in after.text
    assert "Done" in after.text
    assert not any("data-live" in given for _, given in after.elements)
    assert address in Html(browser.open("/recoveries").text).links


def test_it_can_be_stopped(site: Site, traffic: Traffic) -> None:
    """A person noticed too late what it sends."""
    browser = site.browser(Role.ADMIN)
    address = started(browser, traffic)

    browser.send(f"{address}/stop")
    work(site)

    assert "Stopped" in Html(browser.open(address).text).text
    assert recovering(site) == set()


def test_viewers_look_and_start_nothing(site: Site, traffic: Traffic) -> None:
    """The check is at the address, not at the button."""
    address = started(site.browser(Role.ADMIN), traffic)
    viewer = site.browser(Role.VIEWER)

    assert viewer.open("/recoveries/new").status_code == 403
    assert viewer.send("/recoveries/new", states="exhausted").status_code == 403
    assert viewer.send(f"{address}/stop").status_code == 403
    assert f"{address}/stop" not in viewer.open(address).text
    assert counted(site) == 1


def test_what_a_form_may_not_say_is_refused(site: Site) -> None:
    """By the rules of the API, and nothing is started."""
    browser = site.browser(Role.ADMIN)

    since = {"since": "2026-01-01T00:00:00Z"}
    for wrong in (
        {"since": "x"},
        {},
        {**since, "states": "pending"},
        {**since, "states": "exhausted", "status_code": "9" * 5000},
    ):
        assert browser.send("/recoveries/new", **wrong).status_code == 422
    assert counted(site) == 0


def test_without_any_the_list_says_what_to_do(site: Site) -> None:
    """And leads to what was given up."""
    page = Html(site.browser(Role.VIEWER).open("/recoveries").text)

    assert "Nothing was sent again yet." in page.text
    assert "/deliveries?state=exhausted" in page.links


def started(browser: Browser, traffic: Traffic) -> str:
    traffic.delivery("evt_1", traffic.token(), failed(), **EXHAUSTED)
    page = Html(browser.open("/recoveries/new").text)
    return str(browser.send("/recoveries/new", **start_form(page)).location)


def start_form(page: Html) -> dict[str, Any]:
    """The fields of the last form on the page: the one that starts."""
    within: list[dict[str, str]] = []
    for tag, given in page.elements:
        if tag == "form":
            within = []
        if tag == "input" and given.get("type") == "hidden":
            within.append(given)
    fields: dict[str, list[str]] = {}
    for given in within:
        fields.setdefault(given["name"], []).append(given["value"])
    return fields


def start_button(page: Html) -> bool:
    return "Send them again" in page.text


def checked(page: Html) -> list[str]:
    return [
        given["value"]
        for given in page.fields
        if given.get("name") == "states" and "checked" in given
    ]


def work(site: Site) -> None:
    """What a dispatcher does in the background."""
    runner = RecoveryRunner(site.database, site.directory, NullObserver())
    while runner.work():
        pass


def recovering(site: Site) -> set[str]:
    c = deliveries.c
    with site.database.read() as connection:
        return set(connection.scalars(sa.select(c.event_id).where(c.is_recovery)))


def counted(site: Site) -> int:
    with site.database.read() as connection:
        return len(connection.scalars(sa.select(recoveries.c.id)).all())
