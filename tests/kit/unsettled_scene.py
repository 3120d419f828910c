"""Unsettled deliveries between a settler and a dispatcher that do as the test says; and a
dispatcher that only keeps what it is given.
"""

from typing import Any

from consumers.pipeline.settler import PendingAck
from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.deliveries import Delivery
from schemas.deliveries.settlement import Settlement
from schemas.observer import NullObserver

LEASE_S = 25.0


class Settling:
    """Remembers what was to be written, and which message each settlement released."""

    def __init__(self) -> None:
        self.added: list[tuple[Settlement, PendingAck | None]] = []
        self.backlog, self.weight, self.enqueued = 0, 0, 0
        self.on_settled = lambda: None

    def add(self, settlement: Settlement, pending_ack: PendingAck | None) -> None:
        self.added.append((settlement, pending_ack))
        self.enqueued += 1


class Dispatching:
    """A dispatcher whose lanes are as the test says."""

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.flying: list[Delivery] = []
        self.stuck, self.overfull, self.throttled = False, False, False

    @property
    def in_flight(self) -> int:
        return len(self.flying)

    def submit(self, delivery: Delivery) -> None:
        self.waiting.append(delivery)

    def fly(self, delivery: Delivery) -> None:
        self.waiting.remove(delivery)
        self.flying.append(delivery)

    def withdraw(self, delivery: Delivery) -> bool:
        if delivery not in self.waiting:
            return False
        self.waiting.remove(delivery)
        return True

    def withdraw_firsts(self, callback_id: str) -> list[Delivery]:
        withdrawn = [one for one in self.waiting if one.callback_id == callback_id]
        self.waiting = [one for one in self.waiting if one not in withdrawn]
        return withdrawn

    def is_overfull(self, callback_id: str) -> bool:
        return self.overfull

    def is_throttled(self, callback_id: str) -> bool:
        return self.throttled

    def has_started(self, delivery: Delivery) -> bool:
        return delivery in self.flying

    def is_stuck(self, delivery: Delivery) -> bool:
        return self.stuck

    def free_slots(self, callback_id: str, is_retry: bool) -> int:
        return 1

    def conversations(self, callback_id: str) -> frozenset[str]:
        return frozenset()

    def resume(self) -> None: ...
    def stop_starting(self) -> None: ...


class Unsent:
    """A dispatcher that keeps what it is given, and has a fixed number of slots for each share."""

    in_flight = 0

    def __init__(self) -> None:
        self.given: list[Delivery] = []
        self.slots = 10

    @property
    def ids(self) -> list[str]:
        return [delivery.event_id for delivery in self.given]

    def submit(self, delivery: Delivery) -> None:
        self.given.append(delivery)

    def free_slots(self, callback_id: str, is_retry: bool) -> int:
        return self.slots

    def conversations(self, callback_id: str) -> set[str]:
        return {one.conversation_id for one in self.given if one.callback_id == callback_id}

    def is_throttled(self, callback_id: str) -> bool:
        return False

    def is_overfull(self, callback_id: str) -> bool:
        return False


class Scene:
    """Unsettled deliveries between two fakes, at a clock of the test's own."""

    def __init__(self) -> None:
        self.now_s, self.settling, self.dispatching = 100.0, Settling(), Dispatching()
        self.unsettled = Unsettled(
            self.settling,  # type: ignore[arg-type]  # a fake in its place
            NullObserver(),
            LEASE_S,
            clock=lambda: self.now_s,
        )
        self.unsettled.connect(self.dispatching, lambda: None)
        self.unsettled.end_scan(self.unsettled.begin_scan(), ())
        no_source: Any = None
        self.pending_ack = PendingAck(no_source, "receipt", 1)

    def after(self, seconds: float) -> list[tuple[Settlement, PendingAck | None]]:
        """What is to be written once so much time has passed."""
        self.now_s += seconds
        self.unsettled.tick()
        written, self.settling.added = self.settling.added, []
        return written
