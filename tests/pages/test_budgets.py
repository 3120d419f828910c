"""What every page costs: few questions to the store, and little to load."""

from typing import Any

import pytest

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Recoverable, RecoveryQuery
from schemas.times import LATEST, UnixMs
from store.recoveries import jobs
from tests.browser.test_looks import STATES
from tests.kit.looking import Looking
from tests.kit.pages import Site
from tests.kit.queries import counted
from tests.kit.traffic import Traffic, failed

MOST_QUERIES, MOST_BYTES = 10, 100_000
_MANY = 60
_EXHAUSTED: dict[str, Any] = {"state": DeliveryState.EXHAUSTED, "reason": "1 attempts failed"}
_REFUSED = {
    "dead link": 410,
    "nothing found": 404,
    "nothing there": 404,
    "no link to a supplier": 403,
    "nothing there for a supplier": 404,
}
"""The status of pages that say no; that of all others is 200."""
_ASK_NOTHING = {"sign-in", "no link to a supplier"}
"""Pages that ask the store nothing."""


@pytest.fixture
def ids(site: Site, traffic: Traffic) -> dict[str, str]:
    """Fill the store with a page of everything, and return the variable parts of addresses."""
    long = "n" * 90
    tokens = [
        traffic.token(f"{long}{number}", url="https://receiver.example/" + "p" * 150)
        for number in range(_MANY)
    ]
    working, broken = tokens[:2]
    for number in range(_MANY):
        lost = traffic.delivery(f"evt_lost{number}", broken, failed(), **_EXHAUSTED)
        arrived = traffic.delivery(f"evt_got{number}", working, text="text " * 500)
    recovery = jobs.create(
        site.database, RecoveryQuery(UnixMs(0), LATEST, (Recoverable.EXHAUSTED,))
    )
    return {
        "token_id": working.id,
        "broken_id": broken.id,
        "empty_id": tokens[2].id,
        "event_id": "evt_got1",
        "delivery_id": arrived,
        "failed_id": lost,
        "recovery_id": recovery.id,
    }


def test_every_page_asks_the_store_little_and_is_small(site: Site, ids: dict[str, str]) -> None:
    """Pages are open all day at many desks, and opened on phones. Each is among those that the
    browser tests look at.
    """
    looking, too_much = Looking(site, ids), {}
    for state in STATES:
        looking.open(state)  # a supplier's link is opened, too
        with counted(site.database) as queries:
            page = looking.open(state)
        assert page.status_code == _REFUSED.get(state, 200), state
        assert queries or state in _ASK_NOTHING, state
        if len(queries) > MOST_QUERIES or len(page.data) > MOST_BYTES:
            too_much[state] = (len(queries), len(page.data), queries)

    assert too_much == {}
