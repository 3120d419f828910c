"""From a recorded attempt to the API's response model. Called by `serializers` and by the views."""

from api.response_models import AttemptAnswer, PhasesAnswer
from schemas.deliveries.deliveries import Attempt
from schemas.times import to_rfc3339


def attempt_answer(attempt: Attempt) -> AttemptAnswer:
    """Return an attempt. Bytes of the response body that are not UTF-8 are replaced."""
    phases = attempt.phases
    return AttemptAnswer(
        id=attempt.id,
        number=attempt.number,
        trigger=attempt.trigger,
        started_at=to_rfc3339(attempt.started_at),
        duration_ms=attempt.duration_ms,
        status_code=attempt.status_code,
        outcome=attempt.outcome,
        error=attempt.error,
        request_headers=attempt.request_headers,
        response_headers=attempt.response_headers,
        response_body=attempt.response_body.decode(errors="replace"),
        address=attempt.address,
        phases_ms=PhasesAnswer(phases.dns_ms, phases.connect_ms, phases.tls_ms, phases.wait_ms),
    )
