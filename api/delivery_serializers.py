"""From attempts and recipients to the API's response models. Called by `serializers` and by the
views.
"""

from api.response_models import AttemptAnswer, PhasesAnswer, RecipientAnswer, RecipientsAnswer
from schemas.deliveries.deliveries import Attempt
from schemas.deliveries.recipients import Recipient, Recipients
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


def recipients_answer(recipients: Recipients) -> RecipientsAnswer:
    """Return the recipients of an event."""
    return RecipientsAnswer([_recipient(one) for one in recipients.listed], recipients.more)


def _recipient(recipient: Recipient) -> RecipientAnswer:
    return RecipientAnswer(
        token_id=recipient.token_id,
        token_name=recipient.token_name,
        callback=recipient.url,
        delivery_id=recipient.delivery_id,
        state=recipient.state,
        reason=recipient.reason,
        detail=recipient.detail,
        note=recipient.note,
    )
