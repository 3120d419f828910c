"""Attempts in flight, and the records of those that ended. Pure but for new attempt ids.

Called by the dispatcher. Whether a response means success is the decision of `dispatcher.verdict`.
"""

import msgspec

from dispatcher.http.messages import HttpResponse
from dispatcher.lanes import Lane
from dispatcher.verdict import Verdict, internal_error_text
from schemas.deliveries.deliveries import Attempt, Delivery, Outcome, Trigger
from schemas.ids import new_attempt_id
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback


class InFlight(msgspec.Struct, frozen=True, eq=False):
    """An attempt whose request was sent and whose response has not come."""

    lane: Lane
    """The lane in which it takes a slot."""

    delivery: Delivery
    """The delivery that is attempted."""

    callback: Callback
    """The callback as it was when the attempt started: the outcome is about that generation."""

    started_at: UnixMs
    """When the attempt started, by the store's clock."""

    recorded: dict[str, str]
    """The request's headers as they are stored, without secret values."""


def recorded_attempt(
    delivery: Delivery,
    started_at: UnixMs,
    recorded: dict[str, str],
    response: HttpResponse,
    verdict: Verdict,
) -> Attempt:
    """Return the record of an attempt that ended with `response`."""
    return Attempt(
        id=delivery.attempt_id or new_attempt_id(),
        number=delivery.number,
        trigger=_recorded_trigger(delivery),
        started_at=started_at,
        duration_ms=round(response.duration_s * 1000),
        outcome=verdict.outcome,
        status_code=response.status_code,
        error=verdict.error,
        raw_detail=verdict.raw_detail,
        request_headers=recorded,
        response_body=response.body,
        retry_after_s=verdict.retry_after_s,
        throttled=verdict.throttled,
        response_headers=response.headers,
        address=response.address,
        phases=response.phases,
    )


def internally_failed_attempt(
    delivery: Delivery, started_at: UnixMs, now: UnixMs, error: Exception
) -> Attempt:
    """Return the record of an attempt that an internal error ended."""
    verdict = Verdict(Outcome.PROTOCOL, internal_error_text(error))
    duration_s = (now - started_at) / 1000
    no_response = HttpResponse(None, None, b"", verdict.outcome, verdict.error, duration_s)
    return recorded_attempt(delivery, started_at, {}, no_response, verdict)


def _recorded_trigger(delivery: Delivery) -> Trigger:
    """Return `retry` for a first attempt that was throttled before: it kept its position only."""
    is_repeated = delivery.trigger is Trigger.FIRST and delivery.number > 1
    return Trigger.RETRY if is_repeated else delivery.trigger
