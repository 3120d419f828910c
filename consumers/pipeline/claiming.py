"""Claiming a batch: read, match, and insert what is new, all in the caller's transaction. Called by
the intake, in a store thread.
"""

from collections.abc import Iterator, Sequence
from itertools import count

import msgspec

from consumers.pipeline.matching import MatchingDirectory, read
from exchange.port import Message
from schemas.deliveries.deliveries import Delivery
from schemas.errors import InvalidEvent
from schemas.events.events import Event
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from store.deliveries.status_gate import admit
from store.engine.database import Connection
from store.events import claims
from store.events.claims import Claim

_turns = count()
"""In the order in which this process claimed them, events of one millisecond; across processes
there is none.
"""


class ClaimedMessage(msgspec.Struct, frozen=True):
    """A message whose event is ours to deliver."""

    receipt: object
    deliveries: list[Delivery]


class Batch(msgspec.Struct, frozen=True):
    """What became of the messages: each is in exactly one of the first three."""

    to_deliver: list[ClaimedMessage]
    done: list[object]
    """Receipts of copies, and of events that nobody may see: with the commit they are done with."""
    invalid: list[tuple[Message, str]]
    duplicates: list[Event]
    conflicting: list[Event]
    put_off: list[CallbackId]
    """For each delivery that was claimed as a row, whose it is."""
    waiting: int = 0
    """Statuses that wait as rows for another of their message; the next are those that came too
    late.
    """
    overtaken: int = 0

    @property
    def fan_out(self) -> float:
        """Deliveries of a message, in the mean; at least one."""
        wanted = sum(len(one.deliveries) for one in self.to_deliver) + len(self.put_off)
        return max(1.0, wanted / max(1, len(self.to_deliver) + len(self.done)))


class _Opened(msgspec.Struct, frozen=True):
    """A message that is an event, and whose callbacks may see it."""

    message: Message
    claim: Claim
    owners: dict[CallbackId, TokenId]


class Terms(msgspec.Struct, frozen=True):
    """Under which deliveries are claimed: how many may be taken in hand, until when each may start,
    and how long a lease is.
    """

    room: int
    start_by_s: float
    lease_ms: int


def claim(
    connection: Connection,
    messages: Sequence[Message],
    directory: MatchingDirectory,
    now: UnixMs,
    terms: Terms,
) -> Batch:
    """Raises StoreUnavailable, also when the directory is behind and cannot catch up: who may see
    an event is not guessed.

    From the first event that there is no room for, all are claimed as rows: what comes after it
    must not overtake it.
    """
    if not directory.fresh():
        directory.refresh()
    opened, invalid = _open(messages, directory, now)
    claimed = claims.claim(connection, [one.claim for one in opened], now)
    to_deliver, done, crowded_out, left, room = [], [], [], set(claimed.new), terms.room
    for one in opened:
        event_id = one.claim.event.id
        is_first = event_id in left
        left.discard(event_id)  # a second copy in this batch is not delivered, whatever it says
        if is_first and 0 < len(one.owners) <= room:
            room -= len(one.owners)
            to_deliver.append(
                ClaimedMessage(one.message.receipt, list(_deliveries(one, now, terms.start_by_s)))
            )
            continue
        done.append(one.message.receipt)
        if is_first and one.owners:
            room = 0
            crowded_out.append(one)
    claims.put_off(
        connection,
        (delivery for one in crowded_out for delivery in _deliveries(one, now, terms.start_by_s)),
    )
    put_off = [callback_id for one in crowded_out for callback_id in one.owners]
    batch = Batch(to_deliver, done, invalid, claimed.duplicates, claimed.conflicting, put_off)
    return _in_order(connection, batch, now, terms.lease_ms)


def _in_order(connection: Connection, batch: Batch, now: UnixMs, lease_ms: int) -> Batch:
    """Without the statuses whose turn it is not: these are rows already."""
    wanted = [delivery for one in batch.to_deliver for delivery in one.deliveries]
    admitted = admit(connection, wanted, now, lease_ms)
    if len(admitted.go) == len(wanted):
        return batch
    going = set(admitted.go)
    left = [
        ClaimedMessage(one.receipt, [delivery for delivery in one.deliveries if delivery in going])
        for one in batch.to_deliver
    ]
    return msgspec.structs.replace(
        batch,
        to_deliver=[one for one in left if one.deliveries],
        done=[*batch.done, *(one.receipt for one in left if not one.deliveries)],
        waiting=admitted.waiting,
        overtaken=admitted.overtaken,
    )


def _open(
    messages: Sequence[Message], directory: MatchingDirectory, now: UnixMs
) -> tuple[list[_Opened], list[tuple[Message, str]]]:
    opened: list[_Opened] = []
    invalid: list[tuple[Message, str]] = []
    for message in messages:
        try:
            opened.append(_Opened(message, *read(message, directory, now)))
        except InvalidEvent as error:
            invalid.append((message, str(error)))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must cost this message only, not the process at each restart
            invalid.append(
                (message, f"it cannot be read, which is a mistake of Ringback's: {error!r}")
            )
    return opened, invalid


def _deliveries(one: _Opened, created_at: UnixMs, start_by_s: float) -> Iterator[Delivery]:
    event, sequence = one.claim.event, next(_turns)
    for callback_id, token_id in one.owners.items():
        yield Delivery(
            event_id=event.id,
            callback_id=callback_id,
            token_id=token_id,
            type=event.type,
            conversation_id=event.facts.conversation_id,
            channel_id=event.facts.channel_id,
            body=one.claim.body,
            accepted_at=one.claim.accepted_at,
            created_at=created_at,
            queued_at=created_at,
            sequence=sequence,
            message_id=event.facts.message_id if event.facts.status else None,
            status=event.facts.status,
            start_by_s=start_by_s,
        )
