"""Sends operational events to the operator's one URL: the same sender, signature, judgement and
schedule as for deliveries.

No lane and no breaker: there are few of them, and whoever calls
(`consumers.maintenance.alert_relay`) has only some in hand.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial

from dispatcher.backoff import RetrySchedule
from dispatcher.http.messages import HttpResponse, HttpSender, Request
from dispatcher.signer import sign
from dispatcher.verdict import internal_error_text, judge
from schemas.alerts import Alert, AlertOutcome
from schemas.deliveries.deliveries import Outcome
from schemas.times import now_ms


class AlertSender:
    """Used on the event loop's thread. `keys` run from oldest to newest: each signs."""

    def __init__(
        self,
        sender: HttpSender,
        url: str,
        keys: Sequence[bytes],
        schedule: RetrySchedule,
        user_agent: str,
    ):
        self._sender, self._url, self._keys, self._schedule, self._user_agent = (
            sender,
            url,
            keys,
            schedule,
            user_agent,
        )
        self._jitter = random.Random()  # noqa: S311 - jitter is no secret

    async def send(self, alert: Alert) -> AlertOutcome:
        """One attempt. Raises nothing: whatever goes wrong is a failed attempt, so that it is tried
        ever later and then given up.
        """
        try:
            verdict = judge(await self._post(self._request(alert)), now_ms())
        except Exception as error:  # noqa: BLE001 - it must neither be sent again for ever nor end the loop that sends the others
            return self._failed(alert, internal_error_text(error), None)
        if verdict.outcome is Outcome.DELIVERED:
            return AlertOutcome()
        return self._failed(alert, verdict.error or verdict.outcome, verdict.retry_after_s)

    async def _post(self, request: Request) -> HttpResponse:
        answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self._sender.post(request, partial(_answer, answered))
        answer = await answered
        if answer.internal_error is not None:
            raise answer.internal_error
        return answer

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


def _answer(answered: asyncio.Future[HttpResponse], answer: HttpResponse) -> None:
    if not answered.cancelled():  # a stop did not wait for it any longer
        answered.set_result(answer)
