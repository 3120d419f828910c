"""What a supplier sees by a link: its own token, and nothing else."""

import re
from dataclasses import replace

import sqlalchemy as sa
import standardwebhooks

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.people import Role
from schemas.tokens.secrets import signing_secret_text
from store.tables import events
from store.tokens.vault import Vault
from tests.kit.html import Html
from tests.kit.pages import Site
from tests.kit.queries import counted
from tests.kit.supplier_page import answers, supplier_of
from tests.kit.tokens import TESTER
from tests.kit.traffic import Traffic, failed
from web.callback_tests import CallbackTests

MOST_QUERIES = 10
GIVEN_UP = {"state": DeliveryState.EXHAUSTED, "reason": "1 attempts failed"}


def test_the_first_page_says_whose_it_is_and_how_it_does(site: Site, traffic: Traffic) -> None:
    """Token, state, end, callbacks with their health, the last success and the newest deliveries."""
    token = traffic.token("ACME CRM", headers={"x-api-key": "geheim-123"})
    shown = traffic.delivery("evt_1", token)

    response = supplier_of(site, token.id).open(f"/supplier/{token.id}")

    page = Html(response.text)
    for words in (
        "ACME CRM",
        "Active",
        "Never expires",
        "This link is valid until",
        "New Message Healthy",
        "https://crm.example/hook?key=***",
        "x-api-key",
        "No address is set for: New Conversation, Message reports.",
    ):
        assert words in page.text, words
    assert re.search(r"Last success \d+ (seconds|minutes?) ago", page.text)
    assert f"/supplier/{token.id}/deliveries/{shown}" in page.links
    assert "/docs/ringback-api.html" in page.links
    assert "geheim" not in response.text


def test_a_callback_that_fails_is_explained(site: Site, traffic: Traffic) -> None:
    """And what the supplier can do about it, who cannot enable it."""
    token = traffic.token()
    traffic.delivery("evt_1", token, ago_s=90)
    shown = traffic.delivery("evt_2", token, failed(1, Outcome.HTTP_4XX, 401), **GIVEN_UP)
    with site.database.write() as connection:
        connection.execute(
            sa.text("UPDATE callbacks SET disabled_at=1, disabled_reason='its receiver said 410'")
        )

    page = Html(supplier_of(site, token.id).open(f"/supplier/{token.id}").text)

    assert "Ringback calls it no more since" in page.text
    assert "ask the people who gave you the link to enable it" in page.text
    assert "then enable it." not in page.text
    assert "Last failure: 401 · Refused" in page.text
    assert "What to do: The receiver asks who calls" in page.text
    assert f"/supplier/{token.id}/deliveries/{shown}" in page.links


def test_a_delivery_is_explained_as_people_see_it(site: Site, traffic: Traffic) -> None:
    """In words, with its life, its attempts, the payload, and what to do."""
    token = traffic.token()
    met = failed(1, response_body=b"<b>out of order</b>")
    shown = traffic.delivery("evt_1", token, met, text="hello from evt_1", **GIVEN_UP)

    response = supplier_of(site, token.id).open(f"/supplier/{token.id}/deliveries/{shown}")

    page = Html(response.text)
    for words in (
        "Given up: its attempt failed.",
        "What to do: The receiver met an error of its own",
        "The event was accepted",
        "<b>out of order</b>",
        "hello from evt_1",
        "https://crm.example/hook?key=***",
    ):
        assert words in page.text, words
    assert "Try again now" not in page.text
    own = (f"/supplier/{token.id}", "/docs/", "#", "?")
    assert [link for link in page.links if not link.startswith(own)] == []


def test_payloads_are_shown_byte_for_byte(site: Site, traffic: Traffic) -> None:
    """The supplier compares them with what came."""
    token = traffic.token()
    shown = traffic.delivery("evt_1", token, text="hello from evt_1")
    browser, address = supplier_of(site, token.id), f"/supplier/{token.id}/deliveries/{shown}"

    file = browser.open(address + "/payload.json")
    page = browser.open(address + "/payload?as=sent")

    with site.database.read() as connection:
        assert file.data == connection.scalar(sa.select(events.c.body))
    assert "hello from evt_1" in page.text


def test_the_list_has_filters_and_keeps_to_the_token(site: Site, traffic: Traffic) -> None:
    """Whatever the address asks for."""
    token, other = traffic.token("ACME CRM"), traffic.token("Globex")
    delivered = traffic.delivery("evt_1", token)
    given_up = traffic.delivery("evt_2", token, failed(), **GIVEN_UP)
    foreign = traffic.delivery("evt_3", other)
    browser, address = supplier_of(site, token.id), f"/supplier/{token.id}/deliveries"

    shown = {
        query: sorted(set(re.findall(r"dlv_\w+", browser.open(address + query).text)))
        for query in ("", "?state=exhausted", f"?token={other.id}", "?event=evt_3", "?within=1h")
    }

    assert shown == {
        "": sorted([delivered, given_up]),
        "?state=exhausted": [given_up],
        f"?token={other.id}": sorted([delivered, given_up]),
        "?event=evt_3": [],
        "?within=1h": sorted([delivered, given_up]),
    }
    assert foreign not in str(shown)
    assert browser.open(address + "?status_code=x").status_code == 422


def test_nothing_of_another_token_is_there(site: Site, traffic: Traffic) -> None:
    """404 for each of its ids at every address, in the same words as for what there never was."""
    token = traffic.token("ACME CRM", EventType.MESSAGE_STATUS)
    foreign = traffic.delivery("evt_1", traffic.token("Globex", url="https://globex.example/"))
    browser = supplier_of(site, token.id)

    found = answers(browser, token.id, foreign)

    of_one = {name: answer for name, answer in found.items() if "<delivery_id>" in name}
    assert {answer.status_code for answer in of_one.values()} == {404}
    assert all(f"There is no delivery {foreign}" in answer.text for answer in of_one.values())
    assert found["POST /supplier/<token_id>/callbacks/<kind>/test"].status_code == 404
    for name, answer in found.items():
        assert "globex" not in answer.text.lower(), name
        assert "@example.com" not in answer.text, name


def test_a_link_opens_no_other_token(site: Site, traffic: Traffic) -> None:
    """Not even with its text in the cookie of the other one's address."""
    token, other = traffic.token("ACME CRM"), traffic.token("Globex")
    shown = traffic.delivery("evt_1", other)
    browser = supplier_of(site, token.id)
    own = browser.client.get_cookie("ringback-supplier", path=f"/supplier/{token.id}")
    assert own is not None
    browser.client.set_cookie("ringback-supplier", own.value, path="/")

    found = answers(browser, other.id, shown)

    assert {answer.status_code for answer in found.values()} == {403}
    assert all("Globex" not in answer.text for answer in found.values())


def test_two_links_are_open_in_one_browser(site: Site, traffic: Traffic) -> None:
    """One company has a token for trying out and one for its real data: a test goes to the right one."""
    token, other = traffic.token("ACME test"), traffic.token("ACME live")
    browser = supplier_of(site, token.id)
    for opened in supplier_of(site, other.id).client._cookies.values():  # type: ignore[attr-defined]  # no public way
        browser.client._cookies[opened._storage_key] = opened  # type: ignore[attr-defined]

    for one in (token, other):
        assert Html(browser.open(f"/supplier/{one.id}").text).text.count(one.name) >= 1


def test_a_payload_of_a_channel_that_was_taken_away_is_hidden(site: Site, traffic: Traffic) -> None:
    """Such a delivery is cancelled, and may never have been sent: this is no other way to get it."""
    token = traffic.token(channels=["chn_1"])
    cancelled = {"state": DeliveryState.CANCELLED, "reason": "channel_removed"}
    shown = traffic.delivery("evt_1", token, text="hello from evt_1", **cancelled)
    browser, address = supplier_of(site, token.id), f"/supplier/{token.id}/deliveries/{shown}"
    assert "hello from evt_1" in browser.open(address).text

    nothing = frozenset({"chn_2"})
    site.parts.tokens.change(token.id, lambda known: replace(known, channels=nothing), TESTER)

    page = browser.open(address)
    assert page.status_code == 200
    assert "of a channel that you may not see any more" in page.text
    assert browser.open(address + "/payload.json").status_code == 404
    assert browser.open(address + "/payload").status_code == 404
    assert browser.send(address + "/command").status_code == 404
    assert "hello from evt_1" not in page.text


def test_the_command_is_signed_and_shows_no_secret(site: Site, traffic: Traffic) -> None:
    """Neither the signing secret, nor values of headers, nor keys in the address."""
    token = traffic.token(headers={"x-api-key": "geheim-123"})
    shown = traffic.delivery("evt_1", token)

    response = supplier_of(site, token.id).send(f"/supplier/{token.id}/deliveries/{shown}/command")

    page = Html(response.text)
    secret = signing_secret_text(token.signing_keys[-1].value)
    sent = dict(re.findall(r"-H '(webhook-[a-z]+): ([^']*)'", page.text))
    with site.database.read() as connection:
        body = connection.scalar(sa.select(events.c.body)) or b""
    standardwebhooks.Webhook(secret).verify(body, sent)
    assert "key=***" in page.text
    assert "-H 'x-api-key: ***'" in page.text
    assert "geheim" not in response.text
    assert "whsec_" not in response.text
    assert secret.removeprefix("whsec_") not in response.text


def test_tests_send_the_sample_and_are_throttled(site: Site, traffic: Traffic) -> None:
    """What is typed is not signed: the link would forge events. Without a dispatcher it says so."""
    token = traffic.token()
    site.use(callback_tests=CallbackTests(site.database, site.threads, lambda: 0))
    browser = supplier_of(site, token.id)
    address = f"/supplier/{token.id}/callbacks/message.received/test"

    found = [browser.send(address, data='{"message": "forged"}') for _ in range(4)]

    assert [answer.status_code for answer in found] == [503, 503, 503, 429]
    assert "No dispatcher made the attempt" in found[0].text
    assert "A callback is tested once a second" in found[-1].text
    assert "forged" not in "".join(answer.text for answer in found)
    with site.database.read() as connection:
        assert not [
            body for body in connection.scalars(sa.select(events.c.body)) if b"forged" in body
        ]


def test_nothing_is_signed_where_secrets_cannot_be_read(site: Site, traffic: Traffic) -> None:
    """A process without the key shows what happened, and sends nothing unsigned."""
    token = traffic.token()
    shown = traffic.delivery("evt_1", token)
    browser, home = supplier_of(site, token.id), f"/supplier/{token.id}"
    site.use(vault=Vault(["another-key-for-tests-" * 2]))
    browser.client.application = site.app

    assert browser.open(home).status_code == 200
    assert browser.open(f"{home}/deliveries/{shown}").status_code == 200
    assert browser.send(f"{home}/deliveries/{shown}/command").status_code == 409
    assert browser.send(f"{home}/callbacks/message.received/test").status_code == 409


def test_times_are_in_the_zone_of_the_browser(site: Site, traffic: Traffic) -> None:
    """A script says it in a cookie. Without scripts, and for zones that are not known, it is UTC."""
    token = traffic.token()
    browser = supplier_of(site, token.id)

    zones = []
    for name in (None, "Asia/Tokyo", "Nowhere/Land", "../etc/passwd"):
        if name:
            browser.client.set_cookie("zone", name, path="/supplier")
        text = browser.open(f"/supplier/{token.id}").text
        zones.append(re.findall(r'data-guess-zone="([^"]*)"', text))

    assert zones == [["UTC"], ["Asia/Tokyo"], ["UTC"], ["UTC"]]


def test_it_speaks_the_language_of_the_browser(site: Site, traffic: Traffic) -> None:
    """A supplier has no account where one could be chosen."""
    token = traffic.token()
    headers = {"Accept-Language": "it"}

    page = supplier_of(site, token.id).open(f"/supplier/{token.id}", headers=headers)

    assert "Ultime consegne" in page.text or "consegne più recenti" in page.text.lower()


def test_a_person_s_session_opens_no_page_of_a_supplier(site: Site, traffic: Traffic) -> None:
    """What an administrator sees there is what the supplier sees."""
    token = traffic.token()
    shown = traffic.delivery("evt_1", token)

    found = answers(site.browser(Role.ADMIN), token.id, shown)

    assert {answer.status_code for answer in found.values()} == {403}


def test_a_link_opens_nothing_else(site: Site, traffic: Traffic) -> None:
    """Its cookie is not even sent there; and with it, one still has to sign in."""
    token = traffic.token()
    browser = supplier_of(site, token.id)

    assert browser.open(f"/tokens/{token.id}").status_code == 303
    assert browser.open("/deliveries").status_code == 303


def test_markup_stays_text(site: Site, traffic: Traffic) -> None:
    """Names are typed by people, answers by receivers."""
    token = traffic.token("<script>alert(1)</script>")
    met = failed(1, response_body=b"<img src=x onerror=alert(1)>", error="<b>no</b>")
    shown = traffic.delivery("evt_1", token, met, text="<i>hi</i>", **GIVEN_UP)

    found = answers(supplier_of(site, token.id), token.id, shown)

    for name, answer in found.items():
        if answer.content_type.startswith("text/html"):
            assert not re.search("<script>|<img src=x|<b>no|<i>hi", answer.text), name


def test_the_pages_cost_few_queries(site: Site, traffic: Traffic) -> None:
    """However many suppliers look."""
    token = traffic.token("ACME CRM", *EventType)
    ids = [traffic.delivery(f"evt_{number}", token) for number in range(12)]
    browser = supplier_of(site, token.id)

    for path in ("", "/deliveries", f"/deliveries/{ids[0]}"):
        with counted(site.database) as run:
            response = browser.open(f"/supplier/{token.id}{path}")
        assert response.status_code == 200
        assert len(run) <= MOST_QUERIES, (path, run)
