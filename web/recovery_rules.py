"""Which recoveries may be asked for: from the body of a request to the query of the store. Called by
the API and the pages.
"""

from collections.abc import Iterator

from schemas.deliveries.recoveries import Recoverable, RecoveryQuery
from schemas.errors import Fault, Invalid
from schemas.ids import DeliveryId, TokenId, split_delivery_id
from schemas.times import EARLIEST, LATEST
from schemas.tokens.matching import owners
from store.directory.directory import Directory
from store.recoveries.missing import Matched
from web.models.bodies import CreateRecovery
from web.models.parsing import INVALID_BODY

_OF_ATTEMPTS = (Recoverable.EXHAUSTED, Recoverable.HELD)
"""What may have had an attempt."""


def require_query(body: CreateRecovery) -> RecoveryQuery:
    """Return what a recovery is to send again. Raises Invalid."""
    if faults := list(_faults(body)):
        raise Invalid(INVALID_BODY, faults=faults)
    return RecoveryQuery(
        since=EARLIEST if body.since is None else body.since,
        until=LATEST if body.until is None else body.until,
        states=_states(body),
        token=TokenId(body.token) if body.token else None,
        type=body.type,
        status_code=body.status_code,
        error=body.error,
        deliveries=None
        if body.deliveries is None
        else tuple(DeliveryId(one) for one in dict.fromkeys(body.deliveries)),
    )


def matched_by(directory: Directory) -> Matched:
    """Return which callbacks events are for now: the directory may be some time behind."""
    directory.refresh()
    now = directory.now()
    return lambda event_type, channel_id: owners(event_type, channel_id, directory, now)


def _faults(body: CreateRecovery) -> Iterator[Fault]:
    if body.since is None and body.deliveries is None:
        yield Fault("this is required, unless `deliveries` says which", "/since")
    if body.since is not None and body.until is not None and body.until <= body.since:
        yield Fault("this is not after `since`", "/until")
    if _is_of_attempts(body) and Recoverable.MISSING in (body.states or ()):
        yield Fault(
            "missing deliveries had no attempt: leave `missing` out, or `status_code` and `error`",
            "/states",
        )
    for number, given in enumerate(body.deliveries or ()):
        if split_delivery_id(given) is None:
            yield Fault("this is not the id of a delivery", f"/deliveries/{number}")


def _states(body: CreateRecovery) -> tuple[Recoverable, ...]:
    """Return the given states in the order of the work, or else those that are meant."""
    if body.states is not None:
        return tuple(state for state in Recoverable if state in body.states)
    if body.deliveries is None:
        return (Recoverable.EXHAUSTED,)
    return _OF_ATTEMPTS if _is_of_attempts(body) else tuple(Recoverable)


def _is_of_attempts(body: CreateRecovery) -> bool:
    """Whether only deliveries with an attempt can fit."""
    return body.status_code is not None or body.error is not None
