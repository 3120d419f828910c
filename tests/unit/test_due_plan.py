"""What the due poller decides to lease, without a database."""

from types import SimpleNamespace

from consumers.pipeline.due_leasing import DueScan
from consumers.pipeline.due_poller import DuePoller
from consumers.pipeline.store_availability import CATCH_UP_S, StoreStatus
from schemas.errors import StoreUnavailable
from schemas.observer import NullObserver
from schemas.times import UnixMs


def test_after_an_outage_no_requested_attempt_is_leased_until_others_have_caught_up() -> None:
    """Another process may still hold the outcome of one: it would be sent twice. Nor is an empty
    transaction begun for it.
    """
    clock_s = 100.0
    status = StoreStatus(NullObserver(), lambda: clock_s)
    poller = DuePoller(
        SimpleNamespace(subscribe=lambda *_: None),  # type: ignore[arg-type]  # nothing is read
        None,  # type: ignore[arg-type]  # no share is due
        unsettled=SimpleNamespace(capacity_left=1),  # type: ignore[arg-type]  # as much as is needed
        observer=NullObserver(),
        status=status,
        lease_s=25.0,
    )
    found = DueScan((), requested=True, now=UnixMs(1))

    assert poller._plan(found).requested
    status.unavailable(StoreUnavailable("away"))
    assert not poller._plan(found).requested
    status.available()
    assert not poller._plan(found).requested
    clock_s += CATCH_UP_S
    assert poller._plan(found).requested
