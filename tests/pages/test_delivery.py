"""One delivery: explained, tried again, compared, and repeated from a shell."""

import json
import re
import subprocess
from dataclasses import replace
from html import unescape
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
import standardwebhooks

from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.deliveries.phases import Phases
from schemas.ids import new_attempt_id
from schemas.people import Role
from schemas.tokens.secrets import signing_secret_text
from store.tables import events, requested_attempts
from tests.kit.html import Html
from tests.kit.making import an_attempt
from tests.kit.pages import Site
from tests.kit.queries import counted
from tests.kit.receiver import Receiver
from tests.kit.tokens import TESTER
from tests.kit.traffic import RECEIVED, Traffic, failed

EXHAUSTED: dict[str, Any] = {"state": DeliveryState.EXHAUSTED, "reason": "2 attempts failed"}


def test_the_page_says_what_happened_and_with_which_attempts(site: Site, traffic: Traffic) -> None:
    """State in words, its life, and all that each attempt met."""
    met = failed(
        1,
        phases=Phases(dns_ms=3, connect_ms=5, tls_ms=8, wait_ms=13),
        address="203.0.113.7:443",
        response_headers={"retry-after": "120"},
        response_body=b"<b>out of order</b>",
        duration_ms=29,
    )
    shown = traffic.delivery("evt_1", traffic.token(), met, failed(2), **EXHAUSTED)

    response = site.browser(Role.VIEWER).open(f"/deliveries/{shown}")
    page = Html(response.text)

    for words in (
        "Given up: 2 attempts failed.",
        "The 2nd attempt met an error of the receiver: it answered 500.",
        "The event was accepted",
        "203.0.113.7:443",
        "retry-after",
        "<b>out of order</b>",
        "Securing the connection",
        "8 ms",
        "crm.example/hook?key=***",
        "chn_1",
    ):
        assert words in page.text, words
    assert "<b>out" not in response.text
    assert [given["value"] for tag, given in page.elements if tag == "meter"] == [
        "3",
        "5",
        "8",
        "13",
    ]
    assert "/events/evt_1" in page.links


def test_there_is_no_page_of_a_delivery_that_is_not_there(site: Site) -> None:
    """Neither of one that was deleted nor of a text that is no id."""
    browser = site.browser(Role.VIEWER)

    for wrong in ("dlv_0123456789abcdef_evt_1", "dlv_1", "nonsense"):
        assert browser.open(f"/deliveries/{wrong}").status_code == 404


def test_an_attempt_under_way_has_a_page_already(site: Site, traffic: Traffic) -> None:
    """It has no row yet."""
    (shown,) = traffic.event("evt_1", traffic.token())

    text = opened(site, shown).text

    assert "Its first attempt is under way" in text
    assert "There was none yet." in text


def test_the_page_follows_only_what_may_still_change(site: Site, traffic: Traffic) -> None:
    """A delivery that has ended is not fetched over and over."""
    token = traffic.token()
    waits = traffic.delivery("evt_1", token, failed(), state=DeliveryState.PENDING, due_in_s=60)
    ended = traffic.delivery("evt_2", token)

    assert live(opened(site, waits))
    assert not live(opened(site, ended))


def test_a_person_tries_again_by_the_rule_of_the_api(site: Site, traffic: Traffic) -> None:
    """One attempt more, next to the automatic ones."""
    shown = traffic.delivery("evt_1", traffic.token(), failed(), **EXHAUSTED)
    browser = site.browser(Role.ADMIN)

    response = browser.send(f"/deliveries/{shown}/retry")

    assert (response.status_code, response.location) == (303, f"/deliveries/{shown}")
    with site.database.read() as connection:
        (trigger,) = connection.scalars(sa.select(requested_attempts.c.trigger))
    assert trigger == Trigger.MANUAL
    page = Html(browser.open(f"/deliveries/{shown}").text)
    assert "One attempt was asked for." in page.text
    assert "has not ended yet" in page.text
    assert live(page)


def test_what_cannot_be_tried_again_says_why(site: Site, traffic: Traffic) -> None:
    """Nothing happens then, and the page stays."""
    token = traffic.token()
    shown = traffic.delivery("evt_1", token, failed(), **EXHAUSTED)
    traffic.tokens.change(token.id, lambda fields: replace(fields, enabled=False), TESTER)

    response = site.browser(Role.ADMIN).send(f"/deliveries/{shown}/retry")

    assert response.status_code == 409
    assert "the token is suspended" in response.text
    with site.database.read() as connection:
        assert connection.scalars(sa.select(requested_attempts.c.id)).all() == []


@pytest.mark.parametrize("what", ["retry", "curl"])
def test_viewers_neither_try_again_nor_get_a_signature(
    site: Site, traffic: Traffic, what: str
) -> None:
    """Both are for administrators: the command holds a signature."""
    shown = traffic.delivery("evt_1", traffic.token())
    browser = site.browser(Role.VIEWER)

    assert browser.send(f"/deliveries/{shown}/{what}").status_code == 403
    assert f"/{what}" not in browser.open(f"/deliveries/{shown}").text


def test_two_attempts_are_compared_and_what_is_alike_is_folded(
    site: Site, traffic: Traffic
) -> None:
    """What changed when it began to work?"""
    one = failed(1, response_body=b"line 1\nbroken\nline 3", response_headers={"server": "nginx"})
    other = an_attempt(number=2)
    other = msgspec.structs.replace(
        other,
        id=new_attempt_id(),
        response_body=b"line 1\nfine\nline 3",
        response_headers={"server": "nginx", "x-version": "2"},
    )
    shown = traffic.delivery("evt_1", traffic.token(), one, other)

    html = (
        site.browser(Role.VIEWER).open(f"/deliveries/{shown}?compare={one.id}&with={other.id}").text
    )

    compared = html.partition('id="compare"')[2].partition('id="payload"')[0]
    folded = " ".join(re.findall(r"<details>.*?</details>", compared, re.DOTALL))
    unfolded = Html(re.sub(r"<details>.*?</details>", "", compared, flags=re.DOTALL)).text
    for words in ("broken", "fine", "500", "200", "x-version"):
        assert words in unfolded
    assert "line 1" not in unfolded
    assert "line 1" in folded
    assert "nginx" in folded


def test_a_comparison_with_nothing_shows_none(site: Site, traffic: Traffic) -> None:
    """An address that was copied in part must not fail."""
    shown = traffic.delivery("evt_1", traffic.token(), failed(), failed(2), **EXHAUSTED)

    assert "alike" not in opened(site, f"{shown}?compare=att_1&with=").text


def test_of_many_attempts_the_page_stays_small(site: Site, traffic: Traffic) -> None:
    """Those before the latest are a line each, and open on request."""
    headers = {f"x-{number}": "y" * 90 for number in range(20)}
    attempts = [
        failed(number, response_headers=headers, response_body=b"<\xff>" * 300)
        for number in range(1, 41)
    ]
    shown = traffic.delivery("evt_1", traffic.token(), *attempts, **EXHAUSTED)
    with site.database.write() as connection:
        body = json.dumps({"k": [['"' * 20, {"n": number}] for number in range(4000)]})
        connection.execute(sa.update(events).values(body=body.encode()))
    browser = site.browser(Role.ADMIN)
    first = attempts[0].id

    with counted(site.database) as queries:
        page = browser.open(f"/deliveries/{shown}").text

    assert len(page.encode()) <= 100_000
    assert len(queries) <= 10, queries
    assert f"?attempt={first}#{first}" in page
    assert f'<details class="attempt" id="{first}"' not in page
    assert (
        f'<details class="attempt" id="{first}" open'
        in browser.open(f"/deliveries/{shown}?attempt={first}").text
    )


def test_the_payload_is_shown_with_its_numbers_as_sent(site: Site, traffic: Traffic) -> None:
    """And can be had byte for byte."""
    shown = traffic.delivery("evt_1", traffic.token())
    body = b'{"id":"evt_1","data":{"n":9007199254740993,"n":1.10,"t":"\xc3\xa9</pre>"}}'
    with site.database.write() as connection:
        connection.execute(sa.update(events).values(body=body))
    browser = site.browser(Role.VIEWER)

    page = Html(browser.open(f"/deliveries/{shown}").text)
    file = browser.open("/events/evt_1/payload.json")

    assert "9007199254740993" in page.text
    assert '"n" : 1.10,' in page.text
    assert body.decode() in page.text
    assert file.data == body
    assert file.headers["Content-Disposition"] == 'attachment; filename="evt_1.json"'


class TestCommand:
    """The webhook as a command for a shell."""

    def test_it_runs_and_a_receiver_accepts_it(self, site: Site, traffic: Traffic) -> None:
        """The very bytes, signed now, by the same id."""
        path = "/ok/hook?x=[1]&y='"
        with Receiver() as receiver:
            token = traffic.token(url=receiver.url(path))
            shown = traffic.delivery("evt_1", token, text="it's 100% $HOME caffè 👋\n")

            subprocess.run(["sh", "-c", command(site, shown)], check=True, timeout=30)

            (request,) = receiver.wait_for(path)
        secret = signing_secret_text(token.signing_keys[-1].value)
        standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))
        with site.database.read() as connection:
            assert request.body == connection.scalar(sa.select(events.c.body))
        assert request.headers["webhook-id"] == "evt_1"
        assert request.headers["ringback-trigger"] == "manual"

    def test_it_holds_no_value_of_the_callback_s_own_headers(
        self, site: Site, traffic: Traffic
    ) -> None:
        """They are keys, and are never shown again. Who has them puts them in."""
        shown = traffic.delivery("evt_1", traffic.token(headers={"x-api-key": "geheim-123"}))

        response = site.browser(Role.ADMIN).send(f"/deliveries/{shown}/curl")

        page = Html(response.text)
        assert "geheim-123" not in response.text
        assert "-H 'x-api-key: ***'" in page.text
        assert "In place of *** write the values" in page.text

    def test_it_is_kept_nowhere(self, site: Site, traffic: Traffic) -> None:
        """It holds a signature: no cache and no address has it."""
        shown = traffic.delivery("evt_1", traffic.token())
        browser = site.browser(Role.ADMIN)

        response = browser.send(f"/deliveries/{shown}/curl")

        assert response.headers["Cache-Control"] == "no-store"
        assert browser.open(f"/deliveries/{shown}/curl").status_code == 405

    def test_a_large_body_is_downloaded_first(self, site: Site, traffic: Traffic) -> None:
        """A command of 256 KiB is nothing to copy."""
        shown = traffic.delivery("evt_1", traffic.token(), text="x" * 50_000)

        page = site.browser(Role.ADMIN).send(f"/deliveries/{shown}/curl").text

        assert "@evt_1.json" in Html(page).text
        assert "/events/evt_1/payload.json" in Html(page).links
        assert len(page) < 20_000

    def test_a_deleted_callback_has_none(self, site: Site, traffic: Traffic) -> None:
        """There is nowhere to send it to."""
        token = traffic.token()
        shown = traffic.delivery("evt_1", token)
        site.parts.callbacks.delete(token.id, RECEIVED, TESTER)
        browser = site.browser(Role.ADMIN)

        assert browser.send(f"/deliveries/{shown}/curl").status_code == 404
        page = Html(browser.open(f"/deliveries/{shown}").text)
        assert "Try again now" not in page.text
        assert "Show as a command" not in page.text


def opened(site: Site, delivery: str, role: Role = Role.ADMIN) -> Html:
    response = site.browser(role).open(f"/deliveries/{delivery}")
    assert response.status_code == 200, response.text
    return Html(response.text)


def live(page: Html) -> bool:
    return any("data-live" in given for tag, given in page.elements if given.get("id") == "now")


def command(site: Site, delivery: str) -> str:
    """The text of the command, as the button copies it."""
    html = site.browser(Role.ADMIN).send(f"/deliveries/{delivery}/curl").text
    found = html.partition('<pre id="command">\n')[2].partition("</pre>")[0]
    return unescape(found)
