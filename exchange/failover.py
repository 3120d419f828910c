"""Publishing that survives the broker: what RabbitMQ does not confirm at once goes to the outbox
(docs/invariants.md#unsure-is-not-lost).

The API's publisher wherever a broker is configured. Not confirmed is not lost: both copies carry
one id, and whoever claims the second finds the first.
"""

import time
from collections.abc import Sequence

from exchange.broker_circuit import LONGEST_PAUSE_S, BrokerCircuit, CircuitState
from exchange.confirmation import Confirmation
from exchange.outbox.publisher import OutboxPublisher
from exchange.port import Outgoing
from exchange.rabbit.confirms import REFUSED
from exchange.rabbit.publisher import RabbitPublisher
from schemas.errors import ExchangeUnavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer

PATIENCE_S = 0.5
"""How long a message may wait for its confirm. Longer: the first answers of an outage are slower.
Shorter: a broker that is merely busy gets its messages twice.
"""


OUTBOX_TIMEOUT_S = 0.4
"""How long one write to the outbox may take beside that. With both an answer comes within a second,
whatever is silent. Shorter: a database that is merely busy is taken for a silent one.
"""

PER_EVENT_S = 0.002
"""What each further event of a batch adds to the first patience: a thousand large ones are
megabytes, which take their time.
"""

_Left = list[tuple[Outgoing, Confirmation]]


class FailoverPublisher:
    """Thread-safe. One way round trip to the broker while all is well; otherwise every answer
    within both patiences.
    """

    def __init__(self, primary: RabbitPublisher, fallback: OutboxPublisher, observer: Observer):
        self._primary, self._fallback, self._observer = primary, fallback, observer
        self._trust = BrokerCircuit()
        self._failed: tuple[str, float] | None = None
        """Why the broker was not trusted any more, and when."""

    def start(self) -> None:
        self._primary.start()
        self._fallback.start()

    def connected(self) -> bool:
        return self._primary.connected()

    def trouble(self) -> str | None:
        if self._primary.harm is not None:
            return self._primary.harm
        failed = self._failed
        if (
            failed is not None
            and failed[0] == REFUSED
            and time.monotonic() - failed[1] < LONGEST_PAUSE_S
        ):
            return REFUSED
        return None if self._primary.connected() else "no broker answers"

    def publish(self, outgoing: Sequence[Outgoing]) -> None:
        generation = self._primary.generation
        way = self._trust.way(generation, time.monotonic())
        if generation is None:
            self._fallback.publish(outgoing, OUTBOX_TIMEOUT_S)
        elif way is CircuitState.AROUND:
            self._around(outgoing, generation)
        elif left := self._by_broker(outgoing, generation):
            self._by_outbox(left)

    def close(self) -> None:
        self._primary.close()
        self._fallback.close()

    def _around(self, outgoing: Sequence[Outgoing], generation: int) -> None:
        """By the outbox; where that fails, by a broker that is there but not trusted yet: it may
        well be sound.
        """
        try:
            self._fallback.publish(outgoing, OUTBOX_TIMEOUT_S)
        except ExchangeUnavailable:
            if self._by_broker(outgoing, generation):
                raise

    def _by_outbox(self, left: _Left) -> None:
        """What the broker did not confirm in time. Where the outbox fails at once, it may still do
        so.
        """
        until_s = time.monotonic() + OUTBOX_TIMEOUT_S
        try:
            self._fallback.publish([one for one, _ in left], OUTBOX_TIMEOUT_S)
        except ExchangeUnavailable:
            if any(
                confirmation.broken or not confirmation.kept(until_s - time.monotonic())
                for _, confirmation in left
            ):
                raise

    def _by_broker(self, outgoing: Sequence[Outgoing], generation: int) -> _Left:
        """What was not confirmed. Raises ExchangeUnavailable when too much waits already: the
        outbox would be no help for long.
        """
        until_s = time.monotonic() + PATIENCE_S + PER_EVENT_S * (len(outgoing) - 1)
        try:
            confirmations = self._primary.publish_nowait(outgoing)
        except BaseException:  # whatever it was: a probe that was never sent must not be waited for
            self._trust.undecided(generation)
            raise
        left = [
            (one, confirmation)
            for one, confirmation in zip(outgoing, confirmations, strict=True)
            if not confirmation.kept(until_s - time.monotonic())
        ]
        if left:
            self._judge(
                generation,
                next(
                    (confirmation.broken for confirmation in confirmations if confirmation.broken),
                    None,
                ),
            )
        elif self._trust.confirmed(generation):
            self._failed = None
            self._observer.log(LogEvent.PUBLISHING_VIA_BROKER)
        return left

    def _judge(self, generation: int, broken: str | None) -> None:
        """Something was not confirmed: is it the broker, or is it only busy?"""
        if broken is None and self._primary.silent_for_s < PATIENCE_S:
            self._trust.undecided(generation)
            return
        reason = broken or f"it has confirmed nothing for {PATIENCE_S:g} s"
        if self._trust.failed(generation, time.monotonic()):
            self._failed = (reason, time.monotonic())
            self._primary.abandon(generation, reason)
            self._observer.log(LogEvent.PUBLISHING_VIA_OUTBOX, reason=reason)
