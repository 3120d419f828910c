"""What each answer means: one table, and the Retry-After that goes with it."""

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.http.messages import HttpResponse
from dispatcher.verdict import QUOTED_CHARACTERS, judge
from schemas.deliveries.callback_health import LONGEST_PAUSE_S
from schemas.deliveries.deliveries import Outcome
from schemas.times import UnixMs

NOW = UnixMs(784_111_777_000)  # Sun, 06 Nov 1994 08:49:37 GMT


def answer(
    status: int | None,
    retry_after: str | None = None,
    failure: Outcome | None = None,
    location: str | None = None,
) -> HttpResponse:
    return HttpResponse(
        status, retry_after, b"", failure, "in words" if failure else None, 0.1, location
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED), (204, Outcome.DELIVERED), (299, Outcome.DELIVERED),
        (301, Outcome.HTTP_3XX), (304, Outcome.HTTP_3XX), (400, Outcome.HTTP_4XX),
        (404, Outcome.HTTP_4XX),
        (410, Outcome.GONE), (429, Outcome.THROTTLED), (500, Outcome.HTTP_5XX),
        (503, Outcome.HTTP_5XX), (599, Outcome.HTTP_5XX),
        (101, Outcome.PROTOCOL), (600, Outcome.PROTOCOL), (999, Outcome.PROTOCOL),
    ],
)  # fmt: skip
def test_a_status_has_one_outcome(status: int, outcome: Outcome) -> None:
    """The table of the contract."""
    assert judge(answer(status), NOW).outcome is outcome


@given(status=st.integers(100, 999))
def test_every_answer_but_a_good_one_has_words(status: int) -> None:
    """ "Failed" without a reason is what people complain about elsewhere."""
    verdict = judge(answer(status), NOW)

    assert (verdict.error is None) == (verdict.outcome is Outcome.DELIVERED)
    assert verdict.error is None or str(status) in verdict.error


@pytest.mark.parametrize("failure", [Outcome.TIMEOUT, Outcome.BLOCKED, Outcome.TOO_SLOW])
def test_a_failure_of_the_sender_stands_whatever_status_had_come(failure: Outcome) -> None:
    """It was classified where it happened."""
    verdict = judge(answer(200, failure=failure), NOW)

    assert (verdict.outcome, verdict.error) == (failure, "in words")


def test_a_redirect_is_reported_with_its_target() -> None:
    """The administrator can then save the right URL."""
    verdict = judge(answer(308, location="https://new.example/in/?key=S3CR3T"), NOW)

    assert verdict.raw_detail == "https://new.example/in/?key=S3CR3T"
    assert (verdict.error or "").startswith("HTTP 308: a redirect to new.example is not followed")


@pytest.mark.parametrize(
    "location",
    [
        "https://new.example/in/?key=S3CR3T", "/in/?key=S3CR3T", "?key=S3CR3T",
        "//new.example/S3CR3T", "https://me:S3CR3T@new.example/",
        "https:new.example?S3CR3T", "https://new.example\\S3CR3T", "https://[S3CR3T",
        "https://new.example S3CR3T", "S3CR3T",
    ],
)  # fmt: skip
def test_of_a_redirect_no_more_than_the_host_stands_in_the_words_that_are_logged(
    location: str,
) -> None:
    """For many products path and query are the secret, and receivers repeat them."""
    verdict = judge(answer(302, location=location), NOW)

    assert "s3cr3t" not in (verdict.error or "").lower()
    assert verdict.raw_detail == location


@pytest.mark.parametrize(
    ("status", "retry_after"),
    [(200, None), (410, None), (429, "7"), (503, "7"), (301, None), (500, None)],
)
def test_what_is_wrong_with_the_rest_of_an_answer_is_noted_and_changes_nothing(
    status: int, retry_after: str | None
) -> None:
    """Status and headers decide (docs/receivers.md)."""
    flawed = HttpResponse(
        status,
        retry_after,
        b"",
        None,
        "its body ended too early",
        0.1,
        raw_detail="96 bytes missing",
    )
    verdict, whole = judge(flawed, NOW), judge(answer(status, retry_after), NOW)

    assert (verdict.outcome, verdict.retry_after_s) == (whole.outcome, whole.retry_after_s)
    assert "its body ended too early" in (verdict.error or "")


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_any_failure_with_a_retry_after_is_throttled(status: int) -> None:
    """The receiver asks for time, whatever status it says it with."""
    verdict = judge(answer(status, "30"), NOW)

    assert (verdict.outcome, verdict.retry_after_s) == (Outcome.THROTTLED, 30)
    assert "30 s" in (verdict.error or "")


@pytest.mark.parametrize(
    ("status", "retry_after", "speaks_of_itself"),
    [
        (429, "30", True), (429, None, True), (429, "nonsense", True), (503, "30", True),
        (503, "0", True), (503, None, False),
        (503, "nonsense", False), (500, "30", False), (502, "30", False), (404, "30", False),
        (302, "30", False), (410, "30", False),
    ],
)  # fmt: skip
def test_who_takes_no_more_at_present_speaks_of_itself(
    status: int, retry_after: str | None, speaks_of_itself: bool
) -> None:
    """429 says so by itself, 503 when it says until when; all else is about the delivery."""
    assert judge(answer(status, retry_after), NOW).throttled is speaks_of_itself


@pytest.mark.parametrize("status", [200, 410])
def test_a_settled_answer_is_not_throttled(status: int) -> None:
    """Delivered is delivered, and gone is gone."""
    assert judge(answer(status, "30"), NOW).outcome in (Outcome.DELIVERED, Outcome.GONE)


@given(st.text(max_size=2 * QUOTED_CHARACTERS))
def test_what_a_receiver_wrote_is_quoted_short_and_harmless(text: str) -> None:
    """A Location may have 100 KB, and hold what moves the cursor of a reader of the log."""
    long = text + "/" * 100_000
    redirect = judge(answer(302, location=long), NOW).raw_detail or ""
    failure = (
        judge(
            HttpResponse(None, None, b"", Outcome.TLS, "in words", 0.1, raw_detail=long), NOW
        ).raw_detail
        or ""
    )

    for error in (redirect, failure):
        assert error.isprintable()
        assert "…" in error
        assert len(error) < QUOTED_CHARACTERS + 100


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("0", 0), ("120", 120), ("86400", 86_400), ("86401", LONGEST_PAUSE_S),
        ("9" * 5000, LONGEST_PAUSE_S),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60), ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE_S),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date_and_capped(
    retry_after: str, seconds: float
) -> None:
    """All three date formats of HTTP. No receiver can put us off for longer than a day."""
    assert judge(answer(503, retry_after), NOW).retry_after_s == seconds


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "soon",
        "-5",
        "1.5",
        "٣",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "12 13",
        "Sun, 06 Nov 99999 08:49:37 GMT",
    ],
)
def test_a_retry_after_that_makes_no_sense_is_ignored(nonsense: str) -> None:
    """It is treated as if nothing had been said."""
    verdict = judge(answer(503, nonsense), NOW)

    assert (verdict.outcome, verdict.retry_after_s) == (Outcome.HTTP_5XX, None)


@given(st.text(max_size=60))
def test_no_retry_after_can_break_the_judge(text: str) -> None:
    """The header comes from a stranger."""
    seconds = judge(answer(503, text), NOW).retry_after_s

    assert seconds is None or 0 <= seconds <= LONGEST_PAUSE_S


@given(st.integers(0, 86_400))
def test_a_date_means_the_same_as_its_distance_from_now(seconds: int) -> None:
    """Two spellings of one wish."""
    date = email.utils.formatdate(NOW / 1000 + seconds, usegmt=True)

    assert (
        judge(answer(429, date), NOW).retry_after_s
        == judge(answer(429, str(seconds)), NOW).retry_after_s
    )
