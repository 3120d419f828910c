"""Sending of operational events to the operator's URL, with the same sender, signature, verdict and
schedule as for deliveries.

Alerts need no lane and no breaker: they are few, and the caller
(`consumers.maintenance.alert_relay`) sends only some of them at a time.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial

from dispatcher.backoff import RetrySchedule
from dispatcher.http.messages import HttpResponse, HttpSender, Request
from dispatcher.verdict import internal_error_text, judge
from schemas.alerts import Alert, AlertOutcome
from schemas.deliveries.deliveries import Outcome
from schemas.signature import sign
from schemas.times import now_ms


class AlertSender:
    """The sender of alerts. Used only on the event loop's thread."""

    def __init__(
        self,
        sender: HttpSender,
        url: str,
        *,
        keys: Sequence[bytes],
        schedule: RetrySchedule,
        user_agent: str,
    ):
        """Send to `url`. `keys` run from oldest to newest, and each signs."""
        self._sender, self._url, self._keys = sender, url, keys
        self._schedule, self._user_agent = schedule, user_agent
        self._jitter = random.Random()  # noqa: S311 - jitter is no secret

    async def send(self, alert: Alert) -> AlertOutcome:
        """Make one attempt. Never raises: any error counts as a failed attempt, so that the alert
        is retried ever later and then given up.
        """
        try:
            verdict = judge(await self._post(self._request(alert)), now_ms())
        except Exception as error:  # noqa: BLE001 - a bug must not stop the other alerts
            return self._failed(alert, internal_error_text(error), None)
        if verdict.outcome is Outcome.DELIVERED:
            return AlertOutcome()
        return self._failed(alert, verdict.error or verdict.outcome, verdict.retry_after_s)

    async def _post(self, request: Request) -> HttpResponse:
        future: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self._sender.post(request, partial(_resolve, future))
        response = await future
        if response.internal_error is not None:
            raise response.internal_error
        return response

    def _request(self, alert: Alert) -> Request:
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": self._user_agent,
            "webhook-id": alert.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._keys, alert.id, timestamp, alert.body),
            "ringback-attempt": str(alert.failures + 1),
        }
        return Request(
            self._url, [f"{name}: {value}" for name, value in headers.items()], alert.body
        )

    def _failed(self, alert: Alert, error: str, retry_after_s: float | None) -> AlertOutcome:
        delay = self._schedule.next_delay(
            alert.failures + 1, retry_after_s, self._jitter.uniform(-1, 1)
        )
        return AlertOutcome(error, None if delay is None else delay.total_seconds())


def _resolve(future: asyncio.Future[HttpResponse], response: HttpResponse) -> None:
    if not future.cancelled():  # a stop does not wait for it any longer
        future.set_result(response)
