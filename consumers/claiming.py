"""Claiming a batch: read, match, and insert what is new, all in the caller's transaction. Called by the intake, in a store thread."""

from collections.abc import Sequence

import msgspec

from consumers.matching import Directory, read
from exchange.port import Message
from schemas.deliveries import Delivery
from schemas.errors import InvalidEvent
from schemas.events import Event
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from store import claims
from store.admitting import admit
from store.claims import Claim
from store.database import Connection


class Taken(msgspec.Struct, frozen=True):
    """A message whose event is ours to deliver."""

    receipt: object
    deliveries: list[Delivery]


class Batch(msgspec.Struct, frozen=True):
    """What became of the messages: each is in exactly one of the first three."""

    to_deliver: list[Taken]
    done: list[object]
    """Receipts of copies, and of events that nobody may see: with the commit they are done with."""
    invalid: list[tuple[Message, str]]
    duplicates: list[Event]
    conflicting: list[Event]
    waiting: int = 0
    """Statuses that wait as rows for another of their message; the next are those that came too late."""
    overtaken: int = 0


class _Opened(msgspec.Struct, frozen=True):
    """A message that is an event, and whose callbacks may see it."""

    message: Message
    claim: Claim
    owners: dict[CallbackId, TokenId]


def claim(
    connection: Connection, messages: Sequence[Message], directory: Directory, now: UnixMs, start_by_s: float, lease_ms: int
) -> Batch:
    """Raises StoreUnavailable, also when the directory is behind and cannot catch up: who may see an event is not guessed."""
    if not directory.fresh():
        directory.refresh()
    opened, invalid = _open(messages, directory, now)
    claimed = claims.claim(connection, [one.claim for one in opened], now)
    to_deliver, done, left = [], [], set(claimed.new)
    for one in opened:
        event_id = one.claim.event.id
        is_first = event_id in left
        left.discard(event_id)  # a second copy in this batch is not delivered, whatever it says
        if is_first and one.owners:
            to_deliver.append(Taken(one.message.receipt, _deliveries(one, now, start_by_s)))
        else:
            done.append(one.message.receipt)
    batch = Batch(to_deliver, done, invalid, claimed.duplicates, claimed.conflicting)
    return _in_order(connection, batch, now, lease_ms)


def _in_order(connection: Connection, batch: Batch, now: UnixMs, lease_ms: int) -> Batch:
    """Without the statuses whose turn it is not: these are rows already."""
    wanted = [delivery for one in batch.to_deliver for delivery in one.deliveries]
    admitted = admit(connection, wanted, now, lease_ms)
    if len(admitted.go) == len(wanted):
        return batch
    going = set(admitted.go)
    left = [Taken(one.receipt, [delivery for delivery in one.deliveries if delivery in going]) for one in batch.to_deliver]
    return msgspec.structs.replace(
        batch,
        to_deliver=[one for one in left if one.deliveries],
        done=[*batch.done, *(one.receipt for one in left if not one.deliveries)],
        waiting=admitted.waiting,
        overtaken=admitted.overtaken,
    )


def _open(messages: Sequence[Message], directory: Directory, now: UnixMs) -> tuple[list[_Opened], list[tuple[Message, str]]]:
    opened: list[_Opened] = []
    invalid: list[tuple[Message, str]] = []
    for message in messages:
        try:
            opened.append(_Opened(message, *read(message, directory, now)))
        except InvalidEvent as error:
            invalid.append((message, str(error)))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must cost this message only, not the process at each restart
            invalid.append((message, f"it cannot be read, which is a mistake of Ringback's: {error!r}"))
    return opened, invalid


def _deliveries(one: _Opened, created_at: UnixMs, start_by_s: float) -> list[Delivery]:
    event = one.claim.event
    return [
        Delivery(
            event_id=event.id,
            callback_id=callback_id,
            token_id=token_id,
            type=event.type,
            conversation_id=event.facts.conversation_id,
            body=one.claim.body,
            accepted_at=one.claim.accepted_at,
            created_at=created_at,
            since_at=created_at,
            message_id=event.facts.message_id if event.facts.status else None,
            status=event.facts.status,
            start_by_s=start_by_s,
        )
        for callback_id, token_id in one.owners.items()
    ]
