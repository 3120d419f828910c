"""The list of deliveries: every filter in the address, how far it looked, and no more than asked."""

from typing import Any

import pytest

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.people import Role
from schemas.times import UnixMs, to_rfc3339
from store.engine import paging
from tests.kit.html import Html
from tests.kit.pages import Site
from tests.kit.queries import counted
from tests.kit.traffic import Traffic, failed

EXHAUSTED = {"state": DeliveryState.EXHAUSTED, "reason": "3 attempts failed"}


def test_a_row_says_what_where_and_how_it_went(site: Site, traffic: Traffic) -> None:
    """Enough to know whether to open it."""
    shown = traffic.delivery("evt_1", traffic.token(), failed(), **EXHAUSTED)

    page = opened(site, "/deliveries")

    for words in ("New Message", "ACME CRM", "crm.example /hook?key=***", "Given up"):
        assert words in page.text
    assert "500 · Receiver's error" in page.text
    assert f"/deliveries/{shown}" in page.links
    assert "geheim" not in page.text


def test_the_newest_come_first(site: Site, traffic: Traffic) -> None:
    """What just happened is what people look for."""
    token = traffic.token()
    old, new = (traffic.delivery(f"evt_{ago}", token, ago_s=ago) for ago in (90, 30))

    page = opened(site, "/deliveries")

    assert rows(page) == [new, old]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=exhausted", ["evt_refused"]),
        ("state=delivered", ["evt_arrived", "evt_other"]),
        ("error=http_4xx", ["evt_refused"]),
        ("status_code=404", ["evt_refused"]),
        ("status_code=200", ["evt_arrived", "evt_other"]),
        ("type=message.received&state=delivered", ["evt_arrived", "evt_other"]),
        ("type=message.status", []),
        ("token=Desk", ["evt_other"]),
        ("token=acme+crm", ["evt_arrived", "evt_refused"]),
        ("event=evt_arrived", ["evt_arrived"]),
        ("within=1h", ["evt_arrived", "evt_refused"]),
        ("within=24h", ["evt_arrived", "evt_other", "evt_refused"]),
        ("within=nonsense", ["evt_arrived", "evt_other", "evt_refused"]),
    ],
)
def test_each_filter_of_the_api_is_in_the_address(
    site: Site, traffic: Traffic, query: str, found: list[str]
) -> None:
    """An address can be shared, and the button back works."""
    acme, desk = traffic.token("ACME CRM"), traffic.token("Desk", url="https://desk.example/")
    traffic.delivery("evt_arrived", acme)
    traffic.delivery("evt_refused", acme, failed(1, Outcome.HTTP_4XX, 404), **EXHAUSTED)
    traffic.delivery("evt_other", desk, ago_s=7200)

    page = opened(site, f"/deliveries?{query}")

    assert sorted(row.split("_", 2)[2] for row in rows(page)) == found


def test_times_are_read_in_the_zone_that_the_address_names(site: Site, traffic: Traffic) -> None:
    """Someone in another zone opens the same address, and sees the same."""
    shown = traffic.delivery("evt_1", traffic.token(), ago_s=60)
    made_at = UnixMs(site.database.time() - 60_000)
    in_utc = to_rfc3339(made_at)[:16]
    hour = (int(in_utc[11:13]) + 9) % 24
    is_next_day = int(in_utc[11:13]) + 9 >= 24
    in_tokyo = f"{in_utc[:11]}{hour:02d}{in_utc[13:]}"

    same = opened(site, f"/deliveries?since={in_utc}&zone=UTC")
    other = opened(site, f"/deliveries?since={in_utc}&zone=Asia/Tokyo")
    later = opened(site, f"/deliveries?since={in_tokyo}&zone=UTC")

    assert rows(same) == [shown]
    assert rows(other) == [shown]
    assert rows(later) == ([shown] if is_next_day else [])


def test_a_token_is_chosen_by_its_name(site: Site, traffic: Traffic) -> None:
    """No one knows ids by heart. The field shows the name, also when the address has the id."""
    token = traffic.token("ACME CRM")
    shown = traffic.delivery("evt_1", token)
    traffic.delivery("evt_2", traffic.token("Desk"))

    page = opened(site, f"/deliveries?token={token.id}")

    assert rows(page) == [shown]
    assert value(page, "token") == "ACME CRM"


def test_of_several_tokens_one_is_chosen(site: Site, traffic: Traffic) -> None:
    """Deliveries of one supplier must not be taken for those of another."""
    for name in ("ACME CRM", "ACME Desk"):
        traffic.delivery(f"evt_{len(name)}", traffic.token(name))

    page = opened(site, "/deliveries?token=acme&state=delivered")

    assert "Several tokens fit. Which one?" in page.text
    choices = [link for link in page.links if "token=tok_" in link]
    assert len(choices) == 2
    assert all("state=delivered" in link for link in choices)
    assert rows(page) == []


def test_of_namesakes_each_has_its_id(site: Site, traffic: Traffic) -> None:
    """A name need not be unique."""
    first, second = traffic.token("ACME"), traffic.token("ACME")
    shown = traffic.delivery("evt_1", second)
    traffic.delivery("evt_2", first)

    assert "Which one?" in opened(site, "/deliveries?token=ACME").text
    page = opened(site, f"/deliveries?token={second.id}")
    assert (rows(page), value(page, "token")) == ([shown], second.id)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status_code=abc", "A status is a whole number from 100 to 599."),
        ("status_code=99", "A status is a whole number from 100 to 599."),
        ("since=yesterday", "This is no date with a time."),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "it is before the beginning"),
        ("token=nowhere", "There is no token with this name or id."),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field_and_kept(
    site: Site, traffic: Traffic, query: str, said: str
) -> None:
    """Everything else that was typed stays, too."""
    response = site.browser(Role.VIEWER).open(f"/deliveries?{query}&state=held")

    page = Html(response.text)
    name, _, typed = query.rpartition("&")[2].partition("=")
    assert response.status_code == 422
    assert said in page.text
    assert value(page, name) == typed
    invalid = [given for given in page.fields if given.get("aria-invalid")]
    assert [given["aria-describedby"] for given in invalid] == [f"fault-{name}"]
    assert selected(response.text, "held")


def test_older_deliveries_follow_page_by_page(site: Site, traffic: Traffic) -> None:
    """Each once, however many come meanwhile."""
    token = traffic.token()
    made = [traffic.delivery(f"evt_{number:03d}", token, ago_s=number) for number in range(60)]

    first = opened(site, "/deliveries?state=delivered")
    traffic.delivery("evt_new", token, ago_s=0)
    (older,) = [link for link in first.links if "cursor=" in link]
    second = opened(site, older)

    assert rows(first) + rows(second) == made
    assert "state=delivered" in older
    assert not any("cursor=" in link for link in second.links)


def test_a_page_without_rows_says_how_far_it_looked(
    site: Site, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Nothing found" would be a lie: there is more behind it."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 5)
    token = traffic.token()
    for number in range(8):
        traffic.delivery(f"evt_{number}", token, ago_s=number)
    rare = traffic.delivery("evt_rare", token, failed(1, Outcome.HTTP_4XX, 404), ago_s=99)

    page = opened(site, "/deliveries?status_code=404")
    (further,) = [link for link in page.links if "cursor=" in link]

    assert "Looked back to" in page.text
    assert "none fits" in page.text
    assert "No delivery fits" not in page.text
    assert rows(opened(site, further)) == [rare]


def test_an_empty_list_says_what_to_do_next(site: Site) -> None:
    """A blank page looks broken."""
    assert "There are no deliveries yet." in opened(site, "/deliveries").text
    filtered = opened(site, "/deliveries?state=held")
    assert "No delivery fits these filters." in filtered.text
    assert "/deliveries" in filtered.links


def test_what_waits_says_when_it_goes_on(site: Site, traffic: Traffic) -> None:
    """A time in the past would be no answer."""
    token = traffic.token()
    pending: dict[str, Any] = {"state": DeliveryState.PENDING}
    traffic.delivery("evt_later", token, failed(), due_in_s=600, **pending)
    traffic.delivery("evt_due", token, failed(), due_in_s=0, ago_s=90, **pending)

    text = opened(site, "/deliveries").text

    assert "in 10 minutes" in text
    assert " due" in text


def test_viewers_tick_nothing(site: Site, traffic: Traffic) -> None:
    """They may not send anything again."""
    traffic.delivery("evt_1", traffic.token())

    assert "Send the ticked ones again" in opened(site, "/deliveries", Role.ADMIN).text
    page = opened(site, "/deliveries", Role.VIEWER)
    assert "Send" not in page.text
    assert not any(given.get("name") == "delivery" for given in page.fields)


def test_names_and_addresses_are_shown_as_text(site: Site, traffic: Traffic) -> None:
    """They come from other people."""
    token = traffic.token("<script>alert(1)</script>", url="https://x.example/%3Cb%3E?<i>=1")
    traffic.delivery("evt_1", token)

    html = site.browser(Role.ADMIN).open("/deliveries?token=<i>&event=<b>").text

    assert "<script>alert" not in html
    assert "<i>" not in html
    assert "<b>" not in html


def test_a_page_is_small_and_asks_the_store_little(site: Site, traffic: Traffic) -> None:
    """The list is open all day, at many desks."""
    token = traffic.token("x" * 100, url="https://receiver.example/" + "y" * 150)
    for number in range(60):
        traffic.delivery(f"evt_{'z' * 50}{number:03d}", token, ago_s=number)
    browser = site.browser(Role.ADMIN)

    with counted(site.database) as queries:
        page = browser.open(f"/deliveries?state=delivered&token={token.id}").text

    assert len(queries) <= 10, queries
    assert not any("count(" in query.lower() for query in queries)
    assert len(page.encode()) <= 100_000


def opened(site: Site, path: str, role: Role = Role.ADMIN) -> Html:
    response = site.browser(role).open(path)
    assert response.status_code == 200, response.text
    return Html(response.text)


def rows(page: Html) -> list[str]:
    return [
        given["data-row"] for tag, given in page.elements if tag == "tr" and "data-row" in given
    ]


def value(page: Html, name: str) -> str:
    return next(given["value"] for given in page.fields if given.get("name") == name)


def selected(html: str, option: str) -> bool:
    return f'<option value="{option}" selected>' in html
