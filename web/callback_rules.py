"""Which callbacks may be saved: the faults that the target policy finds, by pointer into the
request. Called by the views of tokens and of callbacks.
"""

from collections.abc import Mapping

from schemas.errors import Fault, Invalid
from schemas.events.types import EventType
from schemas.tokens.fields import CallbackFields
from schemas.tokens.target_policy import TargetPolicy, header_faults
from web.models.bodies import PutCallback
from web.models.parsing import pointer


def require_callback(policy: TargetPolicy, body: PutCallback) -> CallbackFields:
    """Return the fields of one callback. Raises Invalid."""
    return _required(policy, {"": body})[""]


def require_callbacks(
    policy: TargetPolicy, bodies: Mapping[EventType, PutCallback | None]
) -> dict[EventType, CallbackFields]:
    """Return the fields of all callbacks that are not null. Raises Invalid with the faults of
    all.
    """
    at = {event_type: pointer(("callbacks", event_type.value)) for event_type in bodies}
    required = _required(
        policy, {at[event_type]: body for event_type, body in bodies.items() if body}
    )
    return {event_type: required[at[event_type]] for event_type, body in bodies.items() if body}


def _required(policy: TargetPolicy, bodies: Mapping[str, PutCallback]) -> dict[str, CallbackFields]:
    """Return the fields of callbacks by their pointers."""
    if faults := [fault for at, body in bodies.items() for fault in _faults(policy, body, at)]:
        raise Invalid("invalid callback", faults=faults)
    return {
        at: CallbackFields(body.url, body.enabled, body.headers, body.held)
        for at, body in bodies.items()
    }


def _faults(policy: TargetPolicy, body: PutCallback, at: str) -> list[Fault]:
    url_fault = policy.url_fault(body.url)
    return [
        *([Fault(url_fault, at + "/url")] if url_fault else []),
        *header_faults(body.headers or {}, at + "/headers"),
    ]
