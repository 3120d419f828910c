"""Publishing that survives an outage of the broker: what RabbitMQ does not confirm in time goes to
the outbox (docs/invariants.md#unsure-is-not-lost).

The API's publisher when a broker is configured. A message that was not confirmed may still arrive.
Both copies carry one id, and the process that claims the second finds the first.
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

CONFIRM_TIMEOUT_S = 0.5
"""How long a message may wait for its confirm. Longer: the first answers of an outage are slower.
Shorter: a broker that is merely busy gets its messages twice.
"""

OUTBOX_TIMEOUT_S = 0.4
"""How long one write to the outbox may take after that. With both, an answer comes within a second,
whatever is silent. Longer: answers are slower while the database is silent. Shorter: a database
that is merely busy seems silent.
"""

PER_EVENT_S = 0.002
"""What each further event of a batch adds to CONFIRM_TIMEOUT_S: a thousand large ones are
megabytes, which take their time. Longer: a batch answers late in an outage. Shorter: large batches
are published twice.
"""


class FailoverPublisher:
    """A `Publisher` over two others. Belongs to the event loop's thread.

    A publish takes one round trip to the broker while all is well, and otherwise at most both
    timeouts.
    """

    def __init__(self, primary: RabbitPublisher, fallback: OutboxPublisher, observer: Observer):
        self._primary, self._fallback, self._observer = primary, fallback, observer
        self._circuit = BrokerCircuit()
        self._failed: tuple[str, float] | None = None
        """Why the circuit opened, and when."""

    def start(self) -> None:
        """Start both publishers, on the running event loop."""
        self._primary.start()
        self._fallback.start()

    def connected(self) -> bool:
        """Return whether the broker is connected."""
        return self._primary.connected()

    def trouble(self) -> str | None:
        """Return why events do not go through the broker; None: they do."""
        if self._primary.harm is not None:
            return self._primary.harm
        failed = self._failed
        if (
            failed is not None
            and failed[0] == REFUSED
            and time.monotonic() - failed[1] < LONGEST_PAUSE_S
        ):
            return REFUSED
        return None if self._primary.connected() else "cannot reach the broker"

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Publish through the broker, or else through the outbox. Raises ExchangeUnavailable when
        neither made all events durable in time.
        """
        generation = self._primary.generation
        state = self._circuit.admit(generation, time.monotonic())
        if generation is None:
            await self._fallback.publish(outgoing, OUTBOX_TIMEOUT_S)
        elif state is CircuitState.OPEN:
            await self._publish_while_open(outgoing, generation)
        else:
            confirmation = await self._publish_via_broker(outgoing, generation)
            if confirmation.unconfirmed:
                await self._publish_via_outbox(outgoing, confirmation)

    async def close(self) -> None:
        """Close both publishers."""
        await self._primary.close()
        await self._fallback.close()

    async def _publish_while_open(self, outgoing: Sequence[Outgoing], generation: int) -> None:
        """Publish through the outbox. If that fails, use the connected broker although the circuit
        is open: it may be in order again.
        """
        try:
            await self._fallback.publish(outgoing, OUTBOX_TIMEOUT_S)
        except ExchangeUnavailable:
            if (await self._publish_via_broker(outgoing, generation)).unconfirmed:
                raise

    async def _publish_via_outbox(
        self, outgoing: Sequence[Outgoing], confirmation: Confirmation
    ) -> None:
        """Publish what the broker did not confirm in time. Where the outbox fails at once, the
        broker may still confirm.
        """
        until_s = time.monotonic() + OUTBOX_TIMEOUT_S
        try:
            await self._fallback.publish(
                [outgoing[position] for position in sorted(confirmation.unconfirmed)],
                OUTBOX_TIMEOUT_S,
            )
        except ExchangeUnavailable:
            if confirmation.error or not await confirmation.wait(until_s - time.monotonic()):
                raise

    async def _publish_via_broker(
        self, outgoing: Sequence[Outgoing], generation: int
    ) -> Confirmation:
        """Publish, and return what was confirmed in time. Raises ExchangeUnavailable when too much
        waits for confirms already: the outbox would not help for long.
        """
        timeout_s = CONFIRM_TIMEOUT_S + PER_EVENT_S * (len(outgoing) - 1)
        try:
            confirmation = self._primary.publish_nowait(outgoing)
            durable = await confirmation.wait(timeout_s)
        # of any kind: no result must be awaited of a probe that was not sent, or whose request was
        # cancelled
        except BaseException:
            self._circuit.inconclusive(generation)
            raise
        if not durable:
            self._judge(generation, confirmation)
        elif self._circuit.confirmed(generation):
            self._failed = None
            self._observer.log(LogEvent.PUBLISHING_VIA_BROKER)
        return confirmation

    def _judge(self, generation: int, confirmation: Confirmation) -> None:
        """Decide after a missing confirm whether the broker is out of order or only busy. It had no
        time to answer what was sent late: something held up the event loop.
        """
        was_late = time.monotonic() - confirmation.sent_s < CONFIRM_TIMEOUT_S / 2
        is_answering = self._primary.silent_for_s < CONFIRM_TIMEOUT_S
        if confirmation.error is None and (was_late or is_answering):
            self._circuit.inconclusive(generation)
            return
        reason = confirmation.error or f"it has confirmed nothing for {CONFIRM_TIMEOUT_S:g} s"
        if self._circuit.failed(generation, time.monotonic()):
            self._failed = (reason, time.monotonic())
            self._primary.abandon(generation, reason)
            self._observer.log(LogEvent.PUBLISHING_VIA_OUTBOX, reason=reason)
