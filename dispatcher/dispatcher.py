"""The dispatcher: accepts deliveries, starts attempts as lanes allow, and reports settlements.

Everything here runs on the event loop's thread. The consumers submit deliveries and receive
settlements.
"""

import datetime as dt
import random
import time
import traceback
from collections.abc import Callable
from typing import Protocol

import msgspec

from dispatcher.attempts import InFlight, internally_failed_attempt, recorded_attempt
from dispatcher.backoff import RetrySchedule
from dispatcher.breaker import Breakers
from dispatcher.decision import after, deferral, refusal
from dispatcher.http.messages import HttpResponse, HttpSender
from dispatcher.lane_throttles import apply_stored_pause, due_in_s, learn_from_attempt
from dispatcher.lanes import Lane
from dispatcher.verdict import Verdict, judge
from dispatcher.webhook_request import WebhookTarget
from schemas.deliveries.deliveries import Attempt, Delivery
from schemas.deliveries.settlement import Settlement, given_back
from schemas.ids import CallbackId, delivery_id
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import Callback, Token

ERROR_PAUSE_S = 60.0
"""Seconds until the next attempt of a delivery whose failure could not even be recorded. Shorter:
the same bug appears more often in the log.
"""


class CallbackDirectory(Protocol):
    """Tokens and callbacks as the dispatcher looks them up; `store.directory` is the real one."""

    def callback(self, callback_id: CallbackId) -> tuple[Token, Callback] | None:
        """Return the callback and its token, or None when it was deleted."""

    def fresh(self) -> bool:
        """Return whether the directory is recent enough to send anything
        (docs/invariants.md#only-fresh-knowledge-sends).
        """

    def now(self) -> UnixMs:
        """Return the time by the store's clock."""


class Dispatcher:
    """Lanes, breakers and the attempts in flight of one process."""

    def __init__(
        self,
        sender: HttpSender,
        directory: CallbackDirectory,
        *,
        schedule: RetrySchedule,
        disable_after: dt.timedelta,
        concurrency: int,
        user_agent: str,
        on_settlement: Callable[[Settlement], None],
        observer: Observer,
        call_later: Callable[[float, Callable[[], None]], object],
    ):
        """Start without lanes.

        `concurrency` is the number of slots of each lane. `on_settlement` is called once for every
        delivery that was submitted and not withdrawn. `call_later` calls a function after so many
        seconds.
        """
        self._sender, self._directory, self._schedule = sender, directory, schedule
        self._concurrency, self._user_agent = concurrency, user_agent
        self._on_settlement, self._observer = on_settlement, observer
        self._call_later = call_later
        self._lanes: dict[CallbackId, Lane] = {}
        self._targets: dict[CallbackId, WebhookTarget] = {}
        self._breakers = Breakers(disable_after)
        self._jitter = random.Random()  # noqa: S311 - jitter is no secret
        self._stopping = False
        self._started: set[Delivery] = set()

    @property
    def in_flight(self) -> int:
        """The number of attempts that have started and not ended."""
        return len(self._started)

    def submit(self, delivery: Delivery) -> None:
        """Start the delivery's attempt as soon as its lane has a free slot."""
        lane = self._lanes.get(delivery.callback_id)
        if lane is None:
            lane = self._lanes[delivery.callback_id] = Lane(self._concurrency)
        lane.add(delivery)
        self._pump(lane)

    def withdraw(self, delivery: Delivery) -> bool:
        """Remove a delivery that has not started; return False when it has."""
        lane = self._lanes.get(delivery.callback_id)
        return lane is not None and lane.withdraw(delivery)

    def withdraw_firsts(self, callback_id: CallbackId) -> list[Delivery]:
        """Remove and return all first attempts of a callback that have not started."""
        lane = self._lanes.get(callback_id)
        return [] if lane is None else lane.withdraw_firsts()

    def is_overfull(self, callback_id: CallbackId) -> bool:
        """Return whether a new first attempt would not start soon enough to be worth waiting."""
        lane = self._lanes.get(callback_id)
        return lane is not None and lane.is_overfull(time.monotonic())

    def has_started(self, delivery: Delivery) -> bool:
        """Return whether the delivery's attempt is in flight."""
        return delivery in self._started

    def is_stuck(self, delivery: Delivery) -> bool:
        """Return whether the delivery's callback keeps it from starting: its lane hardly moves, or
        another delivery of its conversation is in flight. A busy process is no such reason.
        """
        lane = self._lanes[delivery.callback_id]
        return lane.waits_behind(delivery) or lane.is_stuck(time.monotonic())

    def free_slots(self, callback_id: CallbackId, is_retry: bool) -> int:
        """Return how many due rows of one share of a callback are worth leasing now.

        The result is 0 while the callback's breaker is open.
        """
        target = self._directory.callback(callback_id)
        if target is not None and self._breakers.is_open(target[1], time.monotonic()):
            return 0
        lane = self._lanes.get(callback_id) or Lane(self._concurrency)
        if target is not None:
            apply_stored_pause(lane, target[1].health, time.monotonic(), self._directory.now)
        if lane.throttle is not None:
            self._lanes[callback_id] = lane
        return lane.free_slots(time.monotonic(), is_retry)

    def is_throttled(self, callback_id: CallbackId) -> bool:
        """Return whether starts at this callback are limited to the rate that it accepts."""
        lane = self._lanes.get(callback_id)
        return lane is not None and lane.throttle is not None

    def conversations(self, callback_id: CallbackId) -> frozenset[str]:
        """Return the conversations with a delivery to this callback in flight or waiting. Another
        delivery of such a conversation would only wait for that one.
        """
        lane = self._lanes.get(callback_id)
        return frozenset() if lane is None else lane.conversations

    def resume(self) -> None:
        """Start what can start now, and drop empty lanes. Called several times a second."""
        for callback_id, lane in list(self._lanes.items()):
            self._pump(lane)
            if lane.throttle is not None and lane.throttle.is_over(time.monotonic()):
                lane.throttle = None
            if lane.is_empty and lane.throttle is None:
                del self._lanes[callback_id]
                self._targets.pop(callback_id, None)

    def stop_starting(self) -> None:
        """Begin a drain: attempts in flight end, no new one starts."""
        self._stopping = True

    def _pump(self, lane: Lane) -> None:
        while not self._stopping and self._directory.fresh():
            delivery = lane.next(time.monotonic())
            if delivery is None:
                if lane.throttle is not None:
                    self._set_timer(lane)
                break
            self._start(lane, delivery)

    def _set_timer(self, lane: Lane) -> None:
        """Set a timer for a throttled lane's next start, which is sooner than the next `resume`."""
        delay_s = due_in_s(lane, time.monotonic())
        if delay_s is not None and not lane.has_timer:
            lane.has_timer = True
            self._call_later(delay_s, lambda: self._pump_on_time(lane))

    def _pump_on_time(self, lane: Lane) -> None:
        lane.has_timer = False
        self._pump(lane)

    def _start(self, lane: Lane, delivery: Delivery) -> None:
        started_at = self._directory.now()
        try:
            settlement = self._post(lane, delivery, started_at)
        except Exception as error:  # noqa: BLE001 - a bug costs only this delivery an attempt
            settlement = self._failed_internally(delivery, started_at, error)
        if settlement is not None:
            self._settle(lane, settlement)

    def _post(self, lane: Lane, delivery: Delivery, started_at: UnixMs) -> Settlement | None:
        """Send the delivery. Return the settlement instead when it may not be sent now."""
        if time.monotonic() >= delivery.start_by_s:
            return given_back(delivery)
        target = self._directory.callback(delivery.callback_id)
        refused = self._refused(lane, delivery, target, started_at)
        if refused or target is None:
            return refused or given_back(delivery)
        request, recorded = self._target(*target).request(delivery)
        flight = InFlight(lane, delivery, target[1], started_at, recorded)
        self._sender.post(request, lambda response: self._answered(flight, response))
        self._started.add(delivery)
        return None

    def _refused(
        self, lane: Lane, delivery: Delivery, target: tuple[Token, Callback] | None, now: UnixMs
    ) -> Settlement | None:
        now_s = time.monotonic()
        is_open = target is not None and self._breakers.is_open(target[1], now_s)
        throttled = target is not None and apply_stored_pause(
            lane, target[1].health, now_s, self._directory.now
        )
        refused = refusal(delivery, target, now, breaker_open=is_open, throttled=throttled)
        if refused is not None and (
            reason := deferral(refused, breaker_open=is_open, throttled=throttled)
        ):
            self._observer.deferred(reason)
        return refused

    def _target(self, token: Token, callback: Callback) -> WebhookTarget:
        target = self._targets.get(callback.id)
        if target is None or not target.is_of(token, callback):
            target = WebhookTarget(token, callback, self._user_agent)
            self._targets[callback.id] = target
        return target

    def _answered(self, flight: InFlight, response: HttpResponse) -> None:
        delivery = flight.delivery
        self._started.discard(delivery)
        try:
            verdict = _verdict(response)
            attempt = recorded_attempt(
                delivery, flight.started_at, flight.recorded, response, verdict
            )
            settlement = self._concluded(flight, attempt)
        except Exception as error:  # noqa: BLE001 - a bug must not keep the slot for ever
            settlement = self._failed_internally(delivery, flight.started_at, error)
        self._settle(flight.lane, settlement)
        self._pump(flight.lane)

    def _concluded(self, flight: InFlight, attempt: Attempt) -> Settlement:
        settlement = after(flight.delivery, attempt, self._schedule, self._jitter.uniform(-1, 1))
        now_s = time.monotonic()
        breaker_report = self._breakers.conclude(
            flight.callback, flight.delivery, attempt, now_s, self._jitter.uniform(-1, 1)
        )
        throttle_report = learn_from_attempt(
            flight.lane, flight.callback, attempt, now_s, self._directory.now
        )
        report = breaker_report or throttle_report
        return settlement if report is None else msgspec.structs.replace(settlement, health=report)

    def _failed_internally(
        self, delivery: Delivery, started_at: UnixMs, error: Exception
    ) -> Settlement:
        """Count an internal error as a failed attempt: retried ever later, and finally given up.
        The callback's health is not affected.
        """
        self._log_bug(delivery, error)
        try:
            attempt = internally_failed_attempt(delivery, started_at, self._directory.now(), error)
            return after(delivery, attempt, self._schedule, self._jitter.uniform(-1, 1))
        except Exception as second:  # noqa: BLE001 - recording the failure failed too
            self._log_bug(delivery, second)
            return given_back(delivery, ERROR_PAUSE_S)

    def _settle(self, lane: Lane, settlement: Settlement) -> None:
        lane.done(settlement.delivery, time.monotonic())
        try:
            self._on_settlement(settlement)
        except Exception as error:  # noqa: BLE001 - the lease or the message brings it again
            self._log_bug(settlement.delivery, error)

    def _log_bug(self, delivery: Delivery, error: Exception) -> None:
        """Log the type and the place of an error. Its text may quote a header's value or a URL, so
        it is left out.
        """
        trace = "".join(traceback.format_tb(error.__traceback__))
        self._observer.log(
            LogEvent.INTERNAL_ERROR,
            delivery=delivery_id(*delivery.key),
            error=type(error).__name__,
            trace=trace,
        )


def _verdict(response: HttpResponse) -> Verdict:
    if response.internal_error is not None:
        raise response.internal_error
    return judge(response, now_ms())
