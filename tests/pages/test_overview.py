"""The overview: what to do first, what happens now, and charts whose tables are what they draw."""

import csv
import io
import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from dashboard.overview.ranges import RANGES
from schemas.deliveries.deliveries import Outcome
from schemas.events.types import EventType
from schemas.figures import HOUR_MS, MINUTE_MS, Figures, Gauges, minutes_since
from schemas.latency_histogram import count_into
from schemas.people import Role
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from store.engine import bulk
from store.engine.database import Database
from store.events import claims
from store.figures.rows import columns_of_traffic
from store.figures.samples import add_sample
from store.tables import callbacks, figure_hours, figure_minutes
from tests.kit.delivery_rows import add_delivery
from tests.kit.making import CALLBACK, a_claim
from tests.kit.pages import Browser, Site
from tests.kit.tokens import TESTER, token_fields

STEPS = ("listen --secret whsec_shown", "curl -H 'Authorization: Bearer rbk_shown' <here>")


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.browser(Role.ADMIN)


@pytest.fixture
def busy(site: Site) -> Iterator[Site]:
    """Thirteen months of figures in every minute or hour that is kept, an event, and a supplier
    whose callback fails.
    """
    now = site.database.time()
    made = site.parts.tokens.create(
        token_fields("ACME"),
        {EventType.MESSAGE_RECEIVED: CallbackFields("https://x.example/")},
        UnixMs(1),
        TESTER,
    )
    with site.database.write() as connection:
        connection.execute(sa.update(callbacks).values(failing_since=now - HOUR_MS))
        claims.claim(connection, [a_claim("evt_1", CALLBACK, accepted_at=now)], now)
    add_delivery(site.database, "evt_1", CALLBACK, token_id=made.token.id, created_at=now)
    fill(site.database, now)
    return site


def fill(database: Database, now: UnixMs) -> None:
    one = Figures(1_234, {Outcome.DELIVERED.value: 3_456, Outcome.TIMEOUT.value: 12})
    for ms in (30,) * 90 + (2_345,) * 10:
        count_into(one.latency, ms)
    columns, kept_since = columns_of_traffic(one), minutes_since(now)
    minutes = [
        {"minute_at": at, "type": "message.received", "writer": "w", **columns}
        for at in range(kept_since, now, MINUTE_MS)
    ]
    first = now - now % HOUR_MS - 400 * 24 * HOUR_MS
    hours = [
        {"hour_at": at, "type": "message.received", **columns}
        for at in range(first, kept_since, HOUR_MS)
    ]
    with database.write() as connection:
        for table, rows in ((figure_minutes, minutes), (figure_hours, hours)):
            for start in range(0, len(rows), 500):
                bulk.insert(connection, table, rows[start : start + 500])
        for minute in range(70):
            at = UnixMs(now - now % MINUTE_MS - minute * MINUTE_MS)
            add_sample(connection, at, Gauges(minute, 1_000, 0, None))


def test_before_the_first_event_the_page_says_what_to_do(site: Site) -> None:
    """With the commands that were printed at the start, to copy."""
    site.use(first_steps=lambda: STEPS)

    page = site.browser(Role.ADMIN).open("/").text

    assert "Three steps to the first webhook" in page
    assert "Bearer rbk_shown&#39; &lt;here&gt;</pre>" in page
    assert page.count("data-copy=") == 2
    assert 'id="now" data-live="5"' in page, "the first delivery appears by itself"


def test_the_commands_hold_secrets_that_a_viewer_does_not_see(site: Site) -> None:
    site.use(first_steps=lambda: STEPS)

    page = site.browser(Role.VIEWER).open("/").text

    assert "Three steps to the first webhook" in page
    assert "rbk_shown" not in page
    assert "whsec_shown" not in page


def test_once_there_is_an_event_they_are_gone(busy: Site) -> None:
    """And the delivery is there."""
    busy.use(first_steps=lambda: STEPS)

    page = busy.browser(Role.ADMIN).open("/").text

    assert "rbk_shown" not in page
    assert f"/deliveries/dlv_{CALLBACK}_evt_1" in page
    assert "1,234" in page[page.index("Accepted a minute") :][:60]


def test_failing_callbacks_are_named_with_since_when(busy: Site) -> None:
    page = busy.browser(Role.VIEWER).open("/").text

    line = page[page.index("ACME · New Message") :][:400]
    assert "Failing" in line
    assert "hour ago" in line or "60 minutes ago" in line


@pytest.mark.parametrize("chosen", RANGES)
def test_every_range_is_small_and_costs_few_queries(busy: Site, chosen: str) -> None:
    """However much there is: 100 kB, ten queries."""
    admin, ran = busy.browser(Role.ADMIN), list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        ran.append(statement)

    sa.event.listen(busy.database.engine, "before_cursor_execute", note)
    page = admin.open(f"/?range={chosen}")
    sa.event.remove(busy.database.engine, "before_cursor_execute", note)

    queries = [one for one in ran if one.lstrip().upper().startswith("SELECT")]
    assert len(queries) <= 10, queries
    assert len(page.data) <= 100_000
    rows = re.findall("<tr><th scope=row", page.text)
    assert 3 * 15 <= len(rows) <= 3 * 400
    assert f'id="range-{chosen}" aria-current="true"' in page.text
    assert "highest ≤ 2.5 s at" in page.text


def test_a_range_that_is_not_there_is_the_usual_one(busy: Site) -> None:
    """Addresses are typed, and outlive releases."""
    assert 'id="range-1h" aria-current' in busy.browser(Role.VIEWER).open("/?range=7y").text


@pytest.mark.parametrize(("part", "other"), [("now", "charts"), ("charts", "now")])
def test_a_part_is_fetched_without_the_other(busy: Site, part: str, other: str) -> None:
    """Twenty people leave this page open."""
    page = busy.browser(Role.VIEWER).open("/", headers={"X-Live-Part": part}).text

    assert f'<section id="{part}"' in page
    assert f'<section id="{other}"' not in page


def test_the_figures_are_a_file_too(busy: Site) -> None:
    """As finely as they are kept."""
    response = busy.browser(Role.VIEWER).open("/overview.csv?range=24h")

    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert response.mimetype == "text/csv"
    assert 288 <= len(rows) <= 290
    assert rows[-2]["Accepted"] == str(5 * 1_234)
    assert rows[0]["Due"] == ""
    assert rows[-2]["Due"] != ""


def test_the_pages_need_a_person(site: Site) -> None:
    """Figures say how much is delivered to whom."""
    assert [site.browser().open(path).status_code for path in ("/", "/overview.csv")] == [303, 303]
