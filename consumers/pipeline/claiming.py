"""Claiming a batch: read, match, and insert what is new, all in the caller's transaction. Called by
the intake, in a store thread.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, count

import msgspec

from consumers.pipeline.matching import MatchingDirectory, read
from exchange.port import QueuedMessage
from schemas.deliveries.deliveries import Delivery
from schemas.errors import InvalidEvent
from schemas.events.events import Event
from schemas.figures import MINUTE_MS
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from store.deliveries.status_gate import admit
from store.engine.database import Connection
from store.events import claims
from store.events.claims import Claim
from store.figures.settled import Minute

_sequence = count()
"""The order in which this process claimed events of one millisecond. Across processes there is
none.
"""


class ClaimedMessage(msgspec.Struct, frozen=True):
    """A message whose event this process delivers."""

    receipt: object
    """The source's name for the message."""
    deliveries: list[Delivery]
    """One for each callback that may see the event."""


class Batch(msgspec.Struct, frozen=True):
    """What became of the messages. Each is in exactly one of the first three lists."""

    to_deliver: list[ClaimedMessage]
    """Messages with deliveries to make."""
    done: list[object]
    """Receipts of messages that are settled with the commit: copies, events that no token may see,
    and events whose deliveries became rows.
    """
    invalid: list[tuple[QueuedMessage, str]]
    """Messages that are not events, each with the reason."""
    duplicates: list[Event]
    """Copies of events that were claimed before."""
    conflicting: list[Event]
    """Events whose id was claimed before with other content."""
    spilled: list[CallbackId]
    """The callback of each delivery that was claimed as a row."""
    accepted: Mapping[Minute, int]
    """The events among them that were new, by the minute in which they were accepted, and type."""
    waiting: int = 0
    """How many statuses wait as rows for another status of their message."""
    overtaken: int = 0
    """How many statuses came too late."""

    @property
    def fan_out(self) -> float:
        """Deliveries per message on average, at least 1."""
        wanted = sum(len(message.deliveries) for message in self.to_deliver) + len(self.spilled)
        return max(1.0, wanted / max(1, len(self.to_deliver) + len(self.done)))


class _Opened(msgspec.Struct, frozen=True):
    """A message that is an event, and the callbacks that may see it."""

    message: QueuedMessage
    claim: Claim
    owners: dict[CallbackId, TokenId]


class Terms(msgspec.Struct, frozen=True):
    """The terms on which deliveries are claimed."""

    room: int
    """How many deliveries may be claimed to be sent at once."""
    start_by_s: float
    """The last moment at which one may start, monotonic, in seconds."""
    lease_ms: int
    """How long a lease is."""


def claim(
    connection: Connection,
    messages: Sequence[QueuedMessage],
    directory: MatchingDirectory,
    now: UnixMs,
    terms: Terms,
) -> Batch:
    """Claim the events of these messages, and return what became of each.

    From the first event that there is no room for, all are claimed as rows: what comes after it
    must not overtake it. Raises StoreUnavailable, also when the directory is stale and cannot be
    refreshed: which tokens may see an event is not guessed.
    """
    if not directory.fresh():
        directory.refresh()
    opened, invalid = _open(messages, directory, now)
    claimed = claims.claim(connection, [event.claim for event in opened], now)
    to_deliver, done, crowded_out, left, room = [], [], [], set(claimed.new), terms.room
    for event in opened:
        event_id = event.claim.event.id
        is_first = event_id in left
        left.discard(event_id)  # a second copy in this batch is not delivered, whatever it says
        if is_first and 0 < len(event.owners) <= room:
            room -= len(event.owners)
            deliveries = list(_deliveries(event, now, terms.start_by_s))
            to_deliver.append(ClaimedMessage(event.message.receipt, deliveries))
            continue
        done.append(event.message.receipt)
        if is_first and event.owners:
            room = 0
            crowded_out.append(event)
    spilled = _spill(connection, crowded_out, now, terms.start_by_s)
    batch = Batch(
        to_deliver,
        done,
        invalid,
        claimed.duplicates,
        claimed.conflicting,
        spilled,
        _accepted(opened, claimed.new),
    )
    return _in_order(connection, batch, now, terms.lease_ms)


def _accepted(opened: Sequence[_Opened], new: Collection[str]) -> Mapping[Minute, int]:
    """Return the counts of new events. Copies in one batch are counted once."""
    first = {event.claim.event.id: event.claim for event in reversed(opened)}
    claims_of_new = [claim for event_id, claim in first.items() if event_id in new]
    return Counter(
        (one.accepted_at - one.accepted_at % MINUTE_MS, one.event.type) for one in claims_of_new
    )


def _spill(
    connection: Connection, events: Sequence[_Opened], now: UnixMs, start_by_s: float
) -> list[CallbackId]:
    """Write the deliveries of events as rows, and return the callback of each. They are not held in
    memory, as there may be very many.
    """
    claims.spill(
        connection,
        chain.from_iterable(_deliveries(event, now, start_by_s) for event in events),
    )
    return [callback_id for event in events for callback_id in event.owners]


def _in_order(connection: Connection, batch: Batch, now: UnixMs, lease_ms: int) -> Batch:
    """Return the batch without the statuses that have to wait, which are rows already."""
    wanted = [delivery for message in batch.to_deliver for delivery in message.deliveries]
    admitted = admit(connection, wanted, now, lease_ms)
    if len(admitted.go) == len(wanted):
        return batch
    going = set(admitted.go)
    left = [
        ClaimedMessage(
            message.receipt, [delivery for delivery in message.deliveries if delivery in going]
        )
        for message in batch.to_deliver
    ]
    return msgspec.structs.replace(
        batch,
        to_deliver=[message for message in left if message.deliveries],
        done=[*batch.done, *(message.receipt for message in left if not message.deliveries)],
        waiting=admitted.waiting,
        overtaken=admitted.overtaken,
    )


def _open(
    messages: Sequence[QueuedMessage], directory: MatchingDirectory, now: UnixMs
) -> tuple[list[_Opened], list[tuple[QueuedMessage, str]]]:
    opened: list[_Opened] = []
    invalid: list[tuple[QueuedMessage, str]] = []
    for message in messages:
        try:
            opened.append(_Opened(message, *read(message, directory, now)))
        except InvalidEvent as error:
            invalid.append((message, str(error)))
        except Exception as error:  # noqa: BLE001 - also a bug: it must cost this message only
            invalid.append((message, f"it cannot be read because of a bug in Ringback: {error!r}"))
    return opened, invalid


def _deliveries(opened: _Opened, created_at: UnixMs, start_by_s: float) -> Iterator[Delivery]:
    event, sequence = opened.claim.event, next(_sequence)
    for callback_id, token_id in opened.owners.items():
        yield Delivery(
            event_id=event.id,
            callback_id=callback_id,
            token_id=token_id,
            type=event.type,
            conversation_id=event.facts.conversation_id,
            channel_id=event.facts.channel_id,
            body=opened.claim.body,
            accepted_at=opened.claim.accepted_at,
            created_at=created_at,
            queued_at=created_at,
            sequence=sequence,
            message_id=event.facts.message_id if event.facts.status else None,
            status=event.facts.status,
            start_by_s=start_by_s,
        )
