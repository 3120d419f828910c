"""The search box: one hit is opened, several are listed, none says what was looked at."""

import pytest

from schemas.people import Role
from store.engine import paging
from tests.kit.html import Html
from tests.kit.pages import Site
from tests.kit.traffic import Traffic


def test_each_id_lands_on_its_page(site: Site, traffic: Traffic) -> None:
    """People paste what they have, blanks included."""
    token = traffic.token()
    delivery = traffic.delivery("evt_1", token)
    attempt = attempt_of(site, delivery)

    for text, address in (
        ("evt_1", "/events/evt_1"),
        (f" {delivery} ", f"/deliveries/{delivery}"),
        (attempt, f"/deliveries/{delivery}?attempt={attempt}#{attempt}"),
        (token.id, f"/tokens/{token.id}"),
        ("cnv_1", "/events/evt_1"),
        ("msg_1", "/events/evt_1"),
        ("acme", f"/tokens/{token.id}"),
        ("crm.example", f"/tokens/{token.id}/callbacks"),
        ("https://crm.example/hook?key=geheim", f"/tokens/{token.id}/callbacks"),
    ):
        response = site.browser(Role.VIEWER).open("/search", query_string={"q": text})
        assert (response.status_code, response.location) == (303, address), text


def test_several_hits_are_listed(site: Site, traffic: Traffic) -> None:
    """In the words of the pages, and each leads there."""
    first, second = traffic.token("ACME CRM"), traffic.token("ACME <b>Desk")

    response = site.browser(Role.VIEWER).open("/search?q=acme")

    page = Html(response.text)
    assert response.status_code == 200
    assert {f"/tokens/{first.id}", f"/tokens/{second.id}"} <= set(page.links)
    assert "ACME <b>Desk" in page.text
    assert "<b>" not in response.text


@pytest.mark.parametrize(
    "text", ["nothing has this", "evt_none", "req_1", "<script>", "x" * 500, "%00"]
)
def test_nothing_found_says_what_was_looked_at(site: Site, text: str) -> None:
    """A person who knows that can look elsewhere."""
    response = site.browser(Role.VIEWER).open(f"/search?q={text}")

    assert response.status_code == 404
    assert "Nothing was found." in response.text
    assert "ids, each as a whole" in response.text
    assert "<script>" not in response.text


def test_it_says_how_far_back_it_looked(
    site: Site, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversation of last year may be there all the same."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 2)
    token = traffic.token()
    for number in range(4):
        traffic.event(f"evt_{number}", token, ago_s=number)

    assert "It looked back to" in site.browser(Role.VIEWER).open("/search?q=cnv_9").text


def test_an_empty_search_explains_itself(site: Site) -> None:
    """Nothing was looked for, so nothing was missed."""
    response = site.browser(Role.VIEWER).open("/search")

    assert response.status_code == 200
    assert "Nothing was found" not in response.text


def attempt_of(site: Site, delivery: str) -> str:
    page = Html(site.browser(Role.VIEWER).open(f"/deliveries/{delivery}").text)
    return next(
        given["id"]
        for tag, given in page.elements
        if tag == "details" and given.get("class") == "attempt"
    )
