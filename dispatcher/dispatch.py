"""The dispatcher: takes deliveries, starts attempts as lanes allow, and says what is to be written of each.

Everything here runs on the event loop's thread. The consumers hand deliveries in and get settlements back.
"""

import random
import time
from collections.abc import Callable
from typing import Protocol

from dispatcher.backoff import RetrySchedule
from dispatcher.decision import after, refusal
from dispatcher.lanes import Lane, repeat_slots
from dispatcher.request import Route
from dispatcher.sender import Answer, Request
from dispatcher.verdict import judge
from schemas.deliveries import Attempt, Delivery, Settlement, given_back
from schemas.ids import CallbackId, new_attempt_id
from schemas.times import UnixMs, now_ms
from schemas.tokens import Callback, Token


class Directory(Protocol):
    """Where tokens and callbacks are looked up."""

    def callback(self, callback_id: CallbackId) -> tuple[Token, Callback] | None: ...
    def fresh(self) -> bool:
        """Whether what it knows is recent enough to call somebody (rule 9)."""


class Sending(Protocol):
    """One HTTP request; `dispatcher.sender` for real."""

    def post(self, request: Request, on_answer: Callable[[Answer], None]) -> None: ...


class Dispatcher:
    """Lanes and the attempts in flight. `on_settlement` is called once for every delivery handed in and not withdrawn."""

    def __init__(
        self,
        sender: Sending,
        directory: Directory,
        schedule: RetrySchedule,
        concurrency: int,
        user_agent: str,
        on_settlement: Callable[[Settlement], None],
    ):
        self._sender, self._directory, self._schedule = sender, directory, schedule
        self._concurrency, self._user_agent, self._on_settlement = concurrency, user_agent, on_settlement
        self._lanes: dict[CallbackId, Lane] = {}
        self._routes: dict[CallbackId, Route] = {}
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

    def has_started(self, delivery: Delivery) -> bool:
        return delivery in self._flying

    def is_stuck(self, delivery: Delivery, patience_s: float) -> bool:
        """Whether the delivery cannot start for reasons of its callback: the lane was full for `patience_s`, or another of its
        conversation is on its way. That this process is busy is no reason."""
        lane = self._lanes[delivery.callback_id]
        return lane.waits_behind(delivery) or lane.stuck_for_s(time.monotonic()) >= patience_s

    def free_slots(self, callback_id: CallbackId) -> int:
        """How many due rows of this callback are worth taking from the store now."""
        lane = self._lanes.get(callback_id)
        return repeat_slots(self._concurrency) if lane is None else lane.free_slots(time.monotonic())

    def resume(self) -> None:
        """Start what had to wait: called often, it also forgets lanes that nobody uses."""
        for callback_id, lane in list(self._lanes.items()):
            self._pump(lane)
            if lane.is_empty:
                del self._lanes[callback_id]
                self._routes.pop(callback_id, None)

    def stop_starting(self) -> None:
        """For a drain: what is in flight ends, nothing new begins."""
        self._stopping = True

    def _pump(self, lane: Lane) -> None:
        while not self._stopping and self._directory.fresh():
            delivery = lane.next(time.monotonic())
            if delivery is None:
                return
            self._start(lane, delivery)

    def _start(self, lane: Lane, delivery: Delivery) -> None:
        if time.monotonic() >= delivery.start_by_s:
            self._settle(lane, given_back(delivery))
            return
        found = self._directory.callback(delivery.callback_id)
        refused = refusal(delivery, found, now_ms())
        if refused or found is None:
            self._settle(lane, refused or given_back(delivery))
            return
        request, recorded = self._route(*found).request(delivery)
        started_at = now_ms()
        self._flying.add(delivery)
        self._sender.post(request, lambda answer: self._answered(lane, delivery, started_at, recorded, answer))

    def _route(self, token: Token, callback: Callback) -> Route:
        route = self._routes.get(callback.id)
        if route is None or not route.is_of(token, callback):
            route = self._routes[callback.id] = Route(token, callback, self._user_agent)
        return route

    def _answered(self, lane: Lane, delivery: Delivery, started_at: UnixMs, recorded: dict[str, str], answer: Answer) -> None:
        self._flying.discard(delivery)
        verdict = judge(answer, now_ms())
        attempt = Attempt(
            id=delivery.attempt_id or new_attempt_id(),
            number=delivery.number,
            trigger=delivery.trigger,
            started_at=started_at,
            duration_ms=round(answer.duration_s * 1000),
            outcome=verdict.outcome,
            status_code=answer.status_code,
            error=verdict.error,
            request_headers=recorded,
            response_body=answer.body,
            retry_after_s=verdict.retry_after_s,
        )
        self._settle(lane, after(delivery, attempt, self._schedule, self._jitter.uniform(-1, 1)))
        self._pump(lane)

    def _settle(self, lane: Lane, settlement: Settlement) -> None:
        lane.done(settlement.delivery)
        self._on_settlement(settlement)
