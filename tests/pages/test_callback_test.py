"""A test of a callback on its page: what it shows, with scripts and without."""

import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from dashboard.callbacks.cards import sample_data
from schemas.times import now_ms
from store.tables import attempts, events, requested_attempts
from tests.kit.pages import ORIGIN, Site
from tests.kit.supplier import RECEIVED, Supplier
from tests.kit.tokens import TESTER
from tests.kit.waiting import wait_for
from web.callback_tests import CallbackTests

ANSWERED: dict[str, object] = {
    "duration_ms": 12,
    "outcome": "delivered",
    "status_code": 204,
    "response_headers": b'{"server":"x"}',
    "response_body": b"",
    "address": "203.0.113.7:443",
    "connect_ms": 3,
    "tls_ms": 5,
    "wait_ms": 4,
}
REFUSED: dict[str, object] = {
    "duration_ms": 1,
    "outcome": "connect",
    "error": "nothing listens there",
    "response_body": b"",
    "address": "203.0.113.7:443",
    "connect_ms": 1,
}
DATA = sample_data(RECEIVED)


@pytest.fixture
def supplier(site: Site) -> Supplier:
    return Supplier(site)


@contextmanager
def dispatcher(supplier: Supplier, met: dict[str, object]) -> Iterator[None]:
    """Makes one attempt, and records what it met."""
    site = supplier.site
    supplier.use(timeout_s=10.0)

    def run() -> None:
        asked = wait_for("the request for it", lambda: requested(site))
        recorded = {
            "webhook-id": asked.event_id,
            "webhook-timestamp": "1700000000",
            "X-Tenant": "***",
        }
        row = {
            "event_id": asked.event_id,
            "callback_id": asked.callback_id,
            "id": asked.id,
            "number": 1,
            "trigger": asked.trigger,
            "started_at": now_ms(),
            "request_headers": msgspec.json.encode(recorded),
        }
        with site.database.write() as connection:
            connection.execute(sa.insert(attempts).values(row | met))

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def requested(site: Site) -> Any:
    with site.database.read() as connection:
        return connection.execute(sa.select(requested_attempts)).one_or_none()


def bodies(site: Site) -> list[bytes]:
    """The webhooks of the tests."""
    with site.database.read() as connection:
        return [bytes(body) for body in connection.scalars(sa.select(events.c.body))]


def send(supplier: Supplier, data: str = DATA, *, by_script: bool = True) -> TestResponse:
    headers = {"Origin": ORIGIN} | ({"HX-Request": "true"} if by_script else {})
    return supplier.admin.client.post(
        supplier.callback_path() + "/test", data={"data": data}, headers=headers
    )


def test_a_test_shows_what_was_sent_and_signed_where_the_time_went_and_what_came_back(
    site: Site, supplier: Supplier
) -> None:
    """So that a person can compare it with what the receiver saw."""
    with dispatcher(supplier, ANSWERED):
        answer = send(supplier)

    page = html.unescape(answer.text)
    (body,) = bodies(site)
    event_id = msgspec.json.decode(body)["id"]
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "It works: the receiver answered 204 within 12 ms." in page
    assert "POST /hook?key=*** HTTP/1.1\nhost: crm.example.com\n" in page
    assert f"webhook-timestamp: 1700000000\nX-Tenant: ***\n\n{body.decode()}</pre>" in page
    assert f"{event_id}.1700000000.{body.decode()}</pre>" in page
    assert "Securing the connection: 5 ms" in page
    assert "Looking up the host" not in page
    assert "HTTP 204\nserver: x\n" in page
    assert "203.0.113.7:443" in page


def test_a_failed_test_says_what_to_change(site: Site, supplier: Supplier) -> None:
    """The person who tests is not the one who wrote the receiver."""
    with dispatcher(supplier, REFUSED):
        page = send(supplier).text

    assert "The test failed: No connection." in page
    assert "check host and port, that the receiver runs" in page
    assert "Nothing listens there" in page
    assert "What was to be sent" in page
    assert "What was answered" not in page


def test_without_scripts_the_result_is_on_the_page_of_the_callbacks(
    site: Site, supplier: Supplier
) -> None:
    """And what was typed is still there, to be changed and sent again."""
    with dispatcher(supplier, ANSWERED):
        answer = send(supplier, DATA.replace("Ada", "Eva"), by_script=False)

    assert answer.status_code == 200
    assert "<html" in answer.text
    assert "It works: the receiver answered 204" in answer.text
    assert "Eva Rossi" in answer.text


def test_edited_data_are_sent_as_they_were_typed(site: Site, supplier: Supplier) -> None:
    """1.10 is not 1.1, and order and blanks are the person's own."""
    data = DATA.replace('"locale"', '"amount" : 1.10,  "big": 12345678901234567890, "locale"')

    with dispatcher(supplier, ANSWERED):
        answer = send(supplier, data.replace("\n", "\r\n"))

    assert answer.status_code == 200
    (body,) = bodies(site)
    assert body.partition(b'"data":')[2][:-1] == data.encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"message": ', "a bracket, a comma or a quotation mark is missing"),
        ("{}", "The required field message is missing"),
        (DATA.replace('"id": "chn_support",', ""), "channel: the required field id is missing"),
        (DATA + ', "id": "evt_mine"', "id: there is no such field"),
    ],
)
@pytest.mark.parametrize("by_script", [True, False])
def test_data_that_no_receiver_would_get_are_not_sent(
    site: Site, supplier: Supplier, data: str, said: str, by_script: bool
) -> None:
    """A test tries what can happen."""
    answer = send(supplier, data, by_script=by_script)

    assert answer.status_code == 422
    assert said in html.unescape(answer.text)
    assert bodies(site) == []


def test_without_a_dispatcher_the_page_says_so(site: Site, supplier: Supplier) -> None:
    """The fault is not the receiver's."""
    shown, page = send(supplier), send(supplier, by_script=False)

    assert (shown.status_code, page.status_code) == (422, 503)  # htmx puts in 422, no 503
    for answer in (shown, page):
        assert "Nothing was sent." in answer.text
        assert "No dispatcher made the attempt" in answer.text
    assert requested(site) is None


def test_many_tests_at_once_are_refused(site: Site, supplier: Supplier) -> None:
    """A button must not become a hammer."""
    tests = CallbackTests(site.database, site.threads, lambda: 0)  # a clock that stands still
    supplier.use(callback_tests=tests)

    answers = [send(supplier, by_script=False) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [503, 503, 503, 429]
    assert "A callback is tested once a second" in answers[-1].text


def test_a_suspended_token_offers_no_test_and_makes_none(site: Site, supplier: Supplier) -> None:
    """It is not called."""
    site.parts.tokens.change(supplier.id, lambda fields: replace(fields, enabled=False), TESTER)

    page = supplier.admin.open(supplier.path("callbacks")).text
    answer = send(supplier, by_script=False)

    assert "Tests are sent for active tokens only." in page
    assert answer.status_code == 409
    assert bodies(site) == []
