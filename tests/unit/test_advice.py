"""What a failed test says about what to change."""

import msgspec
import pytest

from dashboard.callbacks.report import report_of
from dashboard.explaining.advice import advice
from schemas.deliveries.deliveries import Outcome
from schemas.deliveries.phases import Phases
from schemas.ids import DeliveryId
from tests.kit.making import an_attempt
from tests.kit.reading import SomeReader

READER = SomeReader()
ID = DeliveryId("dlv_1")
FAILED = [outcome for outcome in Outcome if outcome is not Outcome.DELIVERED]


def test_each_kind_of_failure_has_an_advice_of_its_own() -> None:
    """A person who reads "failed" does not know where to begin."""
    said = [advice(READER, an_attempt(outcome, None)) for outcome in FAILED]

    assert all(text and text.endswith(".") for text in said)
    assert len(set(said)) == len(FAILED)


def test_statuses_that_people_meet_have_an_advice_of_their_own() -> None:
    """A missing key and a mistyped path are mended in different places."""
    statuses = [400, 401, 403, 404, 405, 413, 415, 418, 422]

    said = [advice(READER, an_attempt(Outcome.HTTP_4XX, status)) for status in statuses]

    assert len(set(said)) == len(statuses)


def test_an_attempt_that_delivered_needs_none() -> None:
    """What works is left alone."""
    assert advice(READER, an_attempt()) is None


@pytest.mark.parametrize(
    ("status", "wait_ms", "was_sent"), [(500, 3, True), (None, 15_000, True), (None, None, False)]
)
def test_a_request_that_did_not_leave_is_not_called_sent(
    status: int | None, wait_ms: int | None, was_sent: bool
) -> None:
    """Else a person looks for it in the receiver's log."""
    attempt = msgspec.structs.replace(
        an_attempt(Outcome.TIMEOUT, status), phases=Phases(connect_ms=2, wait_ms=wait_ms)
    )

    found = report_of(READER, attempt, "https://x.example/", b"{}", ID).found

    assert found is not None
    assert found.was_sent is was_sent


def test_what_would_turn_a_line_around_is_spelled_out() -> None:
    """A receiver may answer anything."""
    attempt = msgspec.structs.replace(
        an_attempt(Outcome.HTTP_5XX, 500),
        response_body="a\u202eb\x1b[31m\ud83d".encode(errors="surrogatepass"),
        response_headers={"server": "x\u202ey"},
    )

    found = report_of(READER, attempt, "https://x.example/", b"{}", ID).found

    assert found is not None
    assert found.response is not None
    assert found.response.isascii() or "\ufffd" in found.response
    assert "\\u202e" in found.response
    assert "\\x1b[31m" in found.response


def test_an_attempt_that_ended_before_it_was_signed_shows_no_signed_text() -> None:
    """There is none: an internal error ended it."""
    attempt = msgspec.structs.replace(an_attempt(Outcome.PROTOCOL, None), request_headers={})

    found = report_of(READER, attempt, "https://x.example/", b"{}", ID).found

    assert found is not None
    assert found.signed is None
