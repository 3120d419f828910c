"""What the tabs of a token cost, however much there is."""

from dataclasses import replace

import pytest

from schemas.events.types import EventType
from schemas.ids import new_request_id
from schemas.observer import NullObserver
from schemas.tokens.fields import CallbackFields
from store.request_log.writer import RequestLog
from tests.kit.delivery_rows import add_delivery
from tests.kit.pages import Site
from tests.kit.queries import counted
from tests.kit.requests import a_request
from tests.kit.supplier import Supplier
from tests.kit.tokens import TESTER

MOST_QUERIES, MOST_BYTES = 10, 100_000


@pytest.fixture
def supplier(site: Site) -> Supplier:
    """With a full page of everything."""
    made = Supplier(site)
    headers = {f"X-Header-{number}": "x" for number in range(20)}
    for kind in EventType:
        fields = CallbackFields("https://x.example/" + "p" * 1900, headers=headers)
        site.parts.callbacks.put(made.id, kind, fields, TESTER)
    log = RequestLog(site.database, pytest.fail, NullObserver())
    for number in range(60):
        path = "/v1/" + "p" * 1000
        refused = {"allowed": False, "status": 403, "reason": "suspended"}
        log.add(a_request(new_request_id(), made.id, at=number, path=path, **refused))  # type: ignore[arg-type]  # mixed values
        name = "n" * 150 + str(number)
        site.parts.tokens.change(
            made.id, lambda known, name=name: replace(known, name=name), TESTER
        )
        event = f"evt_{number}"
        add_delivery(site.database, event, made.callback.id, token_id=made.id, created_at=number)
    log.flush()
    return made


@pytest.mark.parametrize("tab", ["callbacks", "log", "log?status=403", "deliveries", "changes"])
def test_a_tab_costs_few_queries_and_little_to_load(
    site: Site, supplier: Supplier, tab: str
) -> None:
    """Pages are opened on phones, and followed by many people at once."""
    with counted(site.database) as ran:
        page = supplier.admin.open(supplier.path(tab))

    assert page.status_code == 200
    assert 0 < len(ran) <= MOST_QUERIES, ran
    assert not [query for query in ran if "count(" in query.lower()]
    assert len(page.data) <= MOST_BYTES
