"""What callbacks may be saved: the target policy's faults, by pointer into the request. Asked by
tokens and callbacks alike.
"""

from collections.abc import Mapping

from schemas.errors import Fault, Invalid
from schemas.events.types import EventType
from schemas.tokens.fields import CallbackFields
from schemas.tokens.target_policy import TargetPolicy, header_faults
from web.models.bodies import PutCallback
from web.models.parsing import pointer


def require_callback(policy: TargetPolicy, body: PutCallback) -> CallbackFields:
    """Raises Invalid."""
    return _required(policy, {"": body})[""]


def require_callbacks(
    policy: TargetPolicy, bodies: Mapping[EventType, PutCallback | None]
) -> dict[EventType, CallbackFields]:
    """Those that are not null. Raises Invalid naming the faults of all."""
    at = {pointer(("callbacks", kind.value)): kind for kind in bodies}
    required = _required(
        policy, {place: body for place, kind in at.items() if (body := bodies[kind])}
    )
    return {at[place]: fields for place, fields in required.items()}


def _required(policy: TargetPolicy, bodies: Mapping[str, PutCallback]) -> dict[str, CallbackFields]:
    if faults := [fault for at, body in bodies.items() for fault in _faults(policy, body, at)]:
        raise Invalid("a callback cannot be like this", faults=faults)
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
