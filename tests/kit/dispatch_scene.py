"""A dispatcher between a sender and a directory that do as the test says."""

import datetime as dt
from collections.abc import Callable

from dispatcher.backoff import RetrySchedule
from dispatcher.dispatcher import Dispatcher
from dispatcher.http.messages import HttpResponse, Request
from schemas.deliveries.deliveries import Delivery
from schemas.deliveries.settlement import Settlement
from schemas.ids import CallbackId
from schemas.log_events import LogEvent
from schemas.observer import NullObserver
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import Callback, Token
from tests.kit.making import CALLBACK, a_callback, a_delivery, a_token

OK = HttpResponse(200, None, b"ok", None, None, 0.25)


class Notes(NullObserver):
    """Remembers what was reported to an operator."""

    def __init__(self) -> None:
        self.notes: list[dict[str, object]] = []
        self.put_off: list[str] = []

    def deferred(self, reason: str, count: int = 1) -> None:
        self.put_off += [reason] * count

    def log(self, event: LogEvent, **fields: object) -> None:
        self.notes.append({"event": event, **fields})


class Scene:
    """A dispatcher with two slots per lane. It is the sender and the directory at once; `broken` is
    raised by the next part.
    """

    def __init__(self) -> None:
        self.posted: list[tuple[Request, Callable[[HttpResponse], None]]] = []
        self.written: list[Settlement] = []
        self.observer = Notes()
        self.found: tuple[Token, Callback] | None = (a_token(), a_callback())
        self.is_fresh = True
        self.broken: dict[str, Exception] = {}
        schedule, disable_after = RetrySchedule.parse("10s"), dt.timedelta(days=5)
        self.store_now: UnixMs | None = None
        self.timers: list[tuple[float, Callable[[], None]]] = []
        later = lambda delay_s, then: self.timers.append((delay_s, then))  # noqa: E731
        self.dispatcher = Dispatcher(
            self,
            self,
            schedule=schedule,
            disable_after=disable_after,
            concurrency=2,
            user_agent="Ringback/9",
            on_settlement=self.settle,
            observer=self.observer,
            call_later=later,
        )

    def callback(self, callback_id: CallbackId) -> tuple[Token, Callback] | None:
        assert callback_id == CALLBACK
        self.raise_if_broken("directory")
        return self.found

    def fresh(self) -> bool:
        return self.is_fresh

    def now(self) -> UnixMs:
        return self.store_now or now_ms()

    def post(self, request: Request, on_answer: Callable[[HttpResponse], None]) -> None:
        self.raise_if_broken("sender")
        self.posted.append((request, on_answer))

    def settle(self, settlement: Settlement) -> None:
        self.raise_if_broken("settler")
        self.written.append(settlement)

    def raise_if_broken(self, part: str) -> None:
        if error := self.broken.pop(part, None):
            raise error

    def submit(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            self.dispatcher.submit(delivery)

    def answer(self, answer: HttpResponse = OK, number: int = 0) -> Settlement:
        """What the `number`-th request in flight gets, and what is then to be written."""
        _, on_answer = self.posted.pop(number)
        on_answer(answer)
        return self.written.pop(0)


def firsts(count: int) -> list[Delivery]:
    return [a_delivery(f"evt_{n}", conversation=f"cnv_{n}") for n in range(count)]
