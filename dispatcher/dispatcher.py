"""The dispatcher: takes deliveries, starts attempts as lanes allow, and says what is to be written
of each.

Everything here runs on the event loop's thread. The consumers hand deliveries in and get
settlements back.
"""

import datetime as dt
import random
import time
import traceback
from collections.abc import Callable
from typing import Protocol

import msgspec

from dispatcher.backoff import RetrySchedule
from dispatcher.breaker import Breakers
from dispatcher.decision import after, deferral, refusal
from dispatcher.http.messages import HttpResponse, HttpSender
from dispatcher.lane_throttles import due_in_s, heed, told
from dispatcher.lanes import Lane
from dispatcher.verdict import Verdict, internal_error_text, judge
from dispatcher.webhook_request import WebhookTarget
from schemas.deliveries.deliveries import (
    Attempt,
    Delivery,
    Outcome,
    Settlement,
    Trigger,
    given_back,
)
from schemas.ids import CallbackId, delivery_id, new_attempt_id
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import Callback, Token

ERROR_PAUSE_S = 60.0
"""Until a delivery whose very failure could not be recorded is tried again. Shorter: the same
mistake more often in the log.
"""


class CallbackDirectory(Protocol):
    """Where tokens and callbacks are looked up."""

    def callback(self, callback_id: CallbackId) -> tuple[Token, Callback] | None: ...
    def fresh(self) -> bool:
        """Whether what it knows is recent enough to call somebody
        (docs/invariants.md#only-fresh-knowledge-sends).
        """

    def now(self) -> UnixMs:
        """The store's clock."""


class _Flight(msgspec.Struct, frozen=True, eq=False):
    """An attempt on its way. `callback` is as it was when it started: what is found out is about
    that one.
    """

    lane: Lane
    delivery: Delivery
    callback: Callback
    started_at: UnixMs
    recorded: dict[str, str]


class Dispatcher:
    """Lanes, breakers and the attempts in flight. `on_settlement` is called once for every delivery
    handed in and not withdrawn; `later` calls back after so many seconds.
    """

    def __init__(
        self,
        sender: HttpSender,
        directory: CallbackDirectory,
        schedule: RetrySchedule,
        disable_after: dt.timedelta,
        concurrency: int,
        user_agent: str,
        on_settlement: Callable[[Settlement], None],
        observer: Observer,
        later: Callable[[float, Callable[[], None]], object],
    ):
        self._sender, self._directory, self._schedule = sender, directory, schedule
        self._concurrency, self._user_agent, self._on_settlement = (
            concurrency,
            user_agent,
            on_settlement,
        )
        self._observer, self._later = observer, later
        self._lanes: dict[CallbackId, Lane] = {}
        self._routes: dict[CallbackId, WebhookTarget] = {}
        self._breakers = Breakers(disable_after)
        self._jitter = random.Random()  # noqa: S311 - jitter is no secret
        self._stopping = False
        self._flying: set[Delivery] = set()

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def submit(self, delivery: Delivery) -> None:
        """Start its attempt as soon as its lane has a slot."""
        lane = self._lanes.get(delivery.callback_id)
        if lane is None:
            lane = self._lanes[delivery.callback_id] = Lane(self._concurrency)
        lane.add(delivery)
        self._pump(lane)

    def withdraw(self, delivery: Delivery) -> bool:
        """Take back a delivery that has not started; False when it has."""
        lane = self._lanes.get(delivery.callback_id)
        return lane is not None and lane.withdraw(delivery)

    def withdraw_firsts(self, callback_id: CallbackId) -> list[Delivery]:
        """Take back all first attempts of a callback that have not started."""
        lane = self._lanes.get(callback_id)
        return [] if lane is None else lane.withdraw_firsts()

    def is_overfull(self, callback_id: CallbackId) -> bool:
        """Whether a first attempt would wait in vain for its turn."""
        lane = self._lanes.get(callback_id)
        return lane is not None and lane.is_overfull(time.monotonic())

    def has_started(self, delivery: Delivery) -> bool:
        return delivery in self._flying

    def is_stuck(self, delivery: Delivery) -> bool:
        """Whether the delivery cannot start for reasons of its callback: its lane hardly moves, or
        another of its conversation is on its way. That this process is busy is no reason.
        """
        lane = self._lanes[delivery.callback_id]
        return lane.waits_behind(delivery) or lane.is_stuck(time.monotonic())

    def free_slots(self, callback_id: CallbackId, is_retry: bool) -> int:
        """How many due rows of this share of a callback are worth taking from the store now: none
        while its breaker is open.
        """
        found = self._directory.callback(callback_id)
        if found is not None and self._breakers.is_open(found[1], time.monotonic()):
            return 0
        lane = self._lanes.get(callback_id) or Lane(self._concurrency)
        if found is not None:
            heed(lane, found[1].health, time.monotonic(), self._directory.now)
        if lane.throttle is not None:
            self._lanes[callback_id] = lane
        return lane.free_slots(time.monotonic(), is_retry)

    def is_throttled(self, callback_id: CallbackId) -> bool:
        """Whether no more is sent to it than it takes."""
        lane = self._lanes.get(callback_id)
        return lane is not None and lane.throttle is not None

    def conversations(self, callback_id: CallbackId) -> frozenset[str]:
        """Of which a delivery to this callback is on its way, or waits: the next of them would only
        wait behind it.
        """
        lane = self._lanes.get(callback_id)
        return frozenset() if lane is None else lane.conversations

    def resume(self) -> None:
        """Start what had to wait: called often, it also forgets lanes that nobody uses."""
        for callback_id, lane in list(self._lanes.items()):
            self._pump(lane)
            if lane.throttle is not None and lane.throttle.is_over(time.monotonic()):
                lane.throttle = None
            if lane.is_empty and lane.throttle is None:
                del self._lanes[callback_id]
                self._routes.pop(callback_id, None)

    def stop_starting(self) -> None:
        """For a drain: what is in flight ends, nothing new begins."""
        self._stopping = True

    def _pump(self, lane: Lane) -> None:
        while not self._stopping and self._directory.fresh():
            delivery = lane.next(time.monotonic())
            if delivery is None:
                if lane.throttle is not None:
                    self._come_back(lane)
                break
            self._start(lane, delivery)

    def _come_back(self, lane: Lane) -> None:
        """A throttle's starts are apart by less than what `resume` can tell."""
        delay_s = due_in_s(lane, time.monotonic())
        if delay_s is not None and not lane.has_timer:
            lane.has_timer = True
            self._later(delay_s, lambda: self._pump_on_time(lane))

    def _pump_on_time(self, lane: Lane) -> None:
        lane.has_timer = False
        self._pump(lane)

    def _start(self, lane: Lane, delivery: Delivery) -> None:
        started_at = self._directory.now()
        try:
            settlement = self._post(lane, delivery, started_at)
        except Exception as error:  # noqa: BLE001 - a mistake of ours costs this delivery an attempt, and nobody else anything
            settlement = self._mistaken(delivery, started_at, error)
        if settlement is not None:
            self._settle(lane, settlement)

    def _post(self, lane: Lane, delivery: Delivery, started_at: UnixMs) -> Settlement | None:
        """Send it; what is to be written instead when that may not be."""
        if time.monotonic() >= delivery.start_by_s:
            return given_back(delivery)
        found = self._directory.callback(delivery.callback_id)
        refused = self._refused(lane, delivery, found, started_at)
        if refused or found is None:
            return refused or given_back(delivery)
        request, recorded = self._route(*found).request(delivery)
        flight = _Flight(lane, delivery, found[1], started_at, recorded)
        self._sender.post(request, lambda answer: self._answered(flight, answer))
        self._flying.add(delivery)
        return None

    def _refused(
        self, lane: Lane, delivery: Delivery, found: tuple[Token, Callback] | None, now: UnixMs
    ) -> Settlement | None:
        now_s = time.monotonic()
        is_open = found is not None and self._breakers.is_open(found[1], now_s)
        throttled = found is not None and heed(lane, found[1].health, now_s, self._directory.now)
        refused = refusal(delivery, found, now, breaker_open=is_open, throttled=throttled)
        if refused is not None and (
            reason := deferral(refused, breaker_open=is_open, throttled=throttled)
        ):
            self._observer.deferred(reason)
        return refused

    def _route(self, token: Token, callback: Callback) -> WebhookTarget:
        route = self._routes.get(callback.id)
        if route is None or not route.is_of(token, callback):
            route = self._routes[callback.id] = WebhookTarget(token, callback, self._user_agent)
        return route

    def _answered(self, flight: _Flight, answer: HttpResponse) -> None:
        delivery = flight.delivery
        self._flying.discard(delivery)
        try:
            settlement = self._concluded(
                flight,
                _attempt(delivery, flight.started_at, flight.recorded, answer, _verdict(answer)),
            )
        except Exception as error:  # noqa: BLE001 - as when starting: its slot and its conversation must not be lost to it
            settlement = self._mistaken(delivery, flight.started_at, error)
        self._settle(flight.lane, settlement)
        self._pump(flight.lane)

    def _concluded(self, flight: _Flight, attempt: Attempt) -> Settlement:
        settlement = after(flight.delivery, attempt, self._schedule, self._jitter.uniform(-1, 1))
        now_s = time.monotonic()
        report = self._breakers.conclude(
            flight.callback, flight.delivery, attempt, now_s, self._jitter.uniform(-1, 1)
        )
        learnt = told(flight.lane, flight.callback, attempt, now_s, self._directory.now)
        report = report or learnt
        return settlement if report is None else msgspec.structs.replace(settlement, health=report)

    def _mistaken(self, delivery: Delivery, started_at: UnixMs, error: Exception) -> Settlement:
        """A failed attempt like any other: it is tried again, later and later, and finally given
        up. Of its callback it says nothing.
        """
        self._report(delivery, error)
        verdict = Verdict(Outcome.PROTOCOL, internal_error_text(error))
        nothing = HttpResponse(
            None,
            None,
            b"",
            verdict.outcome,
            verdict.error,
            (self._directory.now() - started_at) / 1000,
        )
        try:
            attempt = _attempt(delivery, started_at, {}, nothing, verdict)
            return after(delivery, attempt, self._schedule, self._jitter.uniform(-1, 1))
        except Exception as worse:  # noqa: BLE001 - the way out of a mistake is mistaken too
            self._report(delivery, worse)
            return given_back(delivery, ERROR_PAUSE_S)

    def _settle(self, lane: Lane, settlement: Settlement) -> None:
        lane.done(settlement.delivery, time.monotonic())
        try:
            self._on_settlement(settlement)
        except Exception as error:  # noqa: BLE001 - the delivery comes again when its lease or its message's channel ends
            self._report(settlement.delivery, error)

    def _report(self, delivery: Delivery, error: Exception) -> None:
        """Without the error's own words, which may quote what it choked on: a header's value, a
        URL.
        """
        trace = "".join(traceback.format_tb(error.__traceback__))
        self._observer.log(
            LogEvent.INTERNAL_ERROR,
            delivery=delivery_id(*delivery.key),
            error=type(error).__name__,
            trace=trace,
        )


def _verdict(answer: HttpResponse) -> Verdict:
    if answer.internal_error is not None:
        raise answer.internal_error
    return judge(answer, now_ms())


def _attempt(
    delivery: Delivery,
    started_at: UnixMs,
    recorded: dict[str, str],
    answer: HttpResponse,
    verdict: Verdict,
) -> Attempt:
    return Attempt(
        id=delivery.attempt_id or new_attempt_id(),
        number=delivery.number,
        trigger=Trigger.RETRY
        if delivery.trigger is Trigger.FIRST and delivery.number > 1
        else delivery.trigger,
        started_at=started_at,
        duration_ms=round(answer.duration_s * 1000),
        outcome=verdict.outcome,
        status_code=answer.status_code,
        error=verdict.error,
        behind=verdict.behind,
        request_headers=recorded,
        response_body=answer.body,
        retry_after_s=verdict.retry_after_s,
        throttled=verdict.throttled,
    )
