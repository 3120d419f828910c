"""Sending operational events, with a fake in place of HTTP: what goes out, and what each answer
makes of it.
"""

import datetime as dt
from collections.abc import Callable

import pytest
from standardwebhooks.webhooks import Webhook

from dispatcher.alert_sender import AlertSender
from dispatcher.backoff import RetrySchedule
from dispatcher.http.messages import HttpResponse, Request
from dispatcher.verdict import internal_error_text
from schemas.alerts import Alert, AlertKind, AlertOutcome, alert_body
from schemas.deliveries.deliveries import Outcome
from schemas.ids import AlertId
from schemas.times import UnixMs
from schemas.tokens.secrets import signing_secret_text

URL = "https://ops.example/ringback"
OLD, NEW = b"o" * 24, b"n" * 24
SCHEDULE = RetrySchedule((dt.timedelta(seconds=10), dt.timedelta(seconds=100)))


class Http:
    """Answers at once; an exception is raised instead."""

    def __init__(self, answer: HttpResponse | Exception):
        self.answer = answer
        self.requests: list[Request] = []

    def post(self, request: Request, on_answer: Callable[[HttpResponse], None]) -> None:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        on_answer(self.answer)


def an_alert(failures: int = 0) -> Alert:
    alert_id = AlertId("alt_1")
    return Alert(
        alert_id,
        alert_body(alert_id, AlertKind.CALLBACK_FAILING, {"reason": "it fails"}, UnixMs(0)),
        failures,
        UnixMs(0),
    )


def status(code: int, retry_after: str | None = None) -> HttpResponse:
    return HttpResponse(code, retry_after, b"", None, None, 0.1)


async def sent(answer: HttpResponse | Exception, failures: int = 0) -> AlertOutcome:
    return await AlertSender(
        Http(answer), URL, keys=[OLD, NEW], schedule=SCHEDULE, user_agent="Ringback/9"
    ).send(an_alert(failures))


async def test_an_alert_is_signed_with_each_secret_like_a_webhook() -> None:
    """A receiver that verifies webhooks verifies these too,
    before and after a change of secrets.
    """
    http = Http(status(200))

    outcome = await AlertSender(
        http, URL, keys=[OLD, NEW], schedule=SCHEDULE, user_agent="Ringback/9"
    ).send(an_alert(failures=2))

    assert outcome == AlertOutcome()
    (request,) = http.requests
    headers = dict(line.split(": ", 1) for line in request.headers)
    for key in (OLD, NEW):
        Webhook(signing_secret_text(key)).verify(request.body, headers)
    assert (request.url, request.body, headers["webhook-id"]) == (URL, an_alert().body, "alt_1")
    assert (headers["content-type"], headers["user-agent"], headers["ringback-attempt"]) == (
        "application/json",
        "Ringback/9",
        "3",
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(500), "HTTP 500"),
        (
            status(302),
            (
                "HTTP 302: a redirect to nowhere is not followed. Save the address that the "
                "receiver moved to"
            ),
        ),
        (
            HttpResponse(None, None, b"", Outcome.BLOCKED, "10.0.0.1 is not a public address", 0.0),
            "10.0.0.1 is not a public address",
        ),
        (RuntimeError("odd"), internal_error_text(RuntimeError())),
        (
            HttpResponse(200, None, b"", None, None, 0.1, internal_error=RuntimeError("odd")),
            internal_error_text(RuntimeError()),
        ),
    ],
)
async def test_whatever_is_no_2xx_is_tried_again_by_the_schedule(
    answer: HttpResponse | Exception, error: str
) -> None:
    """Our own mistakes too: none ends the loop that sends the others."""
    outcome = await sent(answer, failures=1)

    assert outcome.error == error
    assert outcome.retry_in_s == pytest.approx(100, rel=0.1)


async def test_the_operators_receiver_may_put_us_off() -> None:
    """Any receiver may do so."""
    assert await sent(status(503, retry_after="3600")) == AlertOutcome(
        "HTTP 503, to be tried again after 3600 s", 3600
    )


async def test_the_schedule_ends() -> None:
    """A URL that never answers does not gather alerts for ever."""
    assert await sent(status(500), failures=2) == AlertOutcome("HTTP 500", None)
