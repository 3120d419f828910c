"""What a test of a callback has shown: what was sent and signed, where the time went, what came
back, and what to change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import labels
from dashboard.explaining.advice import advice
from dashboard.explaining.reader import Reader
from dashboard.explaining.values import as_sentence
from dashboard.faults import fault_in_words
from schemas.deliveries.deliveries import Attempt, Outcome
from schemas.errors import Fault, InvalidEvent, Problem
from schemas.ids import DeliveryId
from schemas.texts import spelled_out
from schemas.tokens.masking import host_of, masked_url
from schemas.tokens.target_policy import target_in

_ID, _TIMESTAMP = "webhook-id", "webhook-timestamp"
_LINES = "\n\t"
"""Characters of an answer that are shown as they are, although they control a terminal."""

MOST_FAULTS = 20
"""Faults of the data that are listed. More: a page that no one reads. Fewer: more tries."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a test, or why there is none."""

    works: bool
    verdict: str
    advice: str | None = None
    """What to change."""
    faults: Sequence[str] = ()
    """What is wrong with the data that was to be sent."""
    found: "Found | None" = None
    """What an attempt met; None: none was made."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an attempt met."""

    attempt: Attempt
    delivery_id: DeliveryId
    kind: str
    """The name of how it ended."""
    note: str | None
    """What went wrong, as it was noted at that moment."""
    phases: list[tuple[str, int]]
    """The phases that there were, with their milliseconds."""
    was_sent: bool
    """Whether the request left."""
    request: str
    """The request's head and body, as they are sent; what is secret is hidden."""
    signed: str | None
    """The text that was signed; None: none was."""
    response: str | None
    """The response's head and the beginning of its body; None: there was none."""


def report_of(
    to: Reader, attempt: Attempt, url: str, body: bytes, delivery_id: DeliveryId
) -> Report:
    """Return what an attempt has shown, which sent this body to this address."""
    works = attempt.outcome is Outcome.DELIVERED
    kind = labels.outcome(to, attempt.outcome)
    verdict = to.say("The test failed: %(kind)s.", kind=kind)
    if works:
        verdict = to.say(
            "It works: the receiver answered %(status)s within %(ms)s ms.",
            status=attempt.status_code,
            ms=to.language.number(attempt.duration_ms),
        )
    found = Found(
        attempt,
        delivery_id,
        kind,
        _shown(attempt.full_error),
        labels.phases(to, attempt.phases),
        attempt.status_code is not None or attempt.phases.wait_ms is not None,
        _request(attempt, url, body),
        _signed(attempt, body),
        _response(attempt),
    )
    return Report(works, verdict, advice(to, attempt), found=found)


def refused(to: Reader, problem: Problem) -> Report:
    """Return why no attempt was made."""
    reason = as_sentence(fault_in_words(to.say, problem.detail))
    return Report(works=False, verdict=to.say("Nothing was sent."), advice=reason)


def refused_data(to: Reader, error: InvalidEvent) -> Report:
    """Return why the data were not sent."""
    verdict = to.say("Nothing was sent: no receiver would ever get such data.")
    if error.malformed:
        verdict = to.say("Nothing was sent: a bracket, a comma or a quotation mark is missing.")
    faults = [_fault(to, fault) for fault in error.faults[:MOST_FAULTS]]
    return Report(works=False, verdict=verdict, faults=faults)


def _fault(to: Reader, fault: Fault) -> str:
    """Return a fault with its place, as the names from the outside to the inside."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in fault.pointer.split("/")[1:]]
    place = " / ".join(spelled_out(step) for step in steps if step != "data")
    detail = fault_in_words(to.say, fault.detail)
    return f"{place}: {detail}" if place else as_sentence(detail)


def _shown(error: str | None) -> str | None:
    return error and spelled_out(as_sentence(error))


def _request(attempt: Attempt, url: str, body: bytes) -> str:
    shown = masked_url(url)
    lines = [
        f"POST {target_in(shown)} HTTP/1.1",
        f"host: {host_of(shown)}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in attempt.request_headers.items()),
    ]
    return "\n".join([*lines, "", _text(body)])


def _signed(attempt: Attempt, body: bytes) -> str | None:
    headers = attempt.request_headers
    if _ID not in headers or _TIMESTAMP not in headers:
        return None
    return f"{headers[_ID]}.{headers[_TIMESTAMP]}.{_text(body)}"


def _response(attempt: Attempt) -> str | None:
    if attempt.status_code is None:
        return None
    headers = (attempt.response_headers or {}).items()
    lines = [f"HTTP {attempt.status_code}", *(f"{name}: {value}" for name, value in headers)]
    return "\n".join([*(spelled_out(line) for line in lines), "", _text(attempt.response_body)])


def _text(body: bytes) -> str:
    return spelled_out(body.decode(errors="replace"), keep=_LINES)
