"""Dead letters on the broker: read by taking them and giving them back.

For people, at a few hundred a second; kombu does it, on one short connection for each call.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from heapq import nsmallest
from typing import Any, TypeAlias

from exchange import topology
from exchange.dead_letters import DeadLetter
from exchange.rabbit.admin import ensure_on, opened_channel
from schemas.times import LATEST, UnixMs

_Channel: TypeAlias = Any  # kombu has types in part
_Raw: TypeAlias = Any
_UNKNOWN = "the broker gave it up"


class RabbitDeadLetters:
    """Those of `ringback.dead`. What another process holds just now is not seen."""

    def __init__(self, url: str):
        self._url = url

    def count(self) -> int:
        with opened_channel(self._url) as channel:
            ensure_on(channel)
            return _count(channel)

    def look(self, most: int) -> list[DeadLetter]:
        with opened_channel(self._url) as channel:
            ensure_on(channel)
            return [_letter(raw) for raw in _first(channel, most)]

    def replay(self, marks: Collection[str] | None, told: Callable[[], None]) -> None:
        self._each(marks, _put_back, told)

    def drop(self, marks: Collection[str] | None, told: Callable[[], None]) -> None:
        self._each(marks, lambda _channel, _raw: None, told)

    def _each(
        self,
        marks: Collection[str] | None,
        act: Callable[[_Channel, _Raw], None],
        told: Callable[[], None],
    ) -> None:
        """Those that were not chosen go back when the channel is closed."""
        with opened_channel(self._url) as channel:
            ensure_on(channel)
            for raw in sorted(_chosen(channel, marks), key=_place):
                act(channel, raw)
                channel.basic_ack(raw.delivery_tag)
                told()


def _count(channel: _Channel) -> int:
    found: int = channel.queue_declare(topology.DEAD_QUEUE, passive=True).message_count
    return found


def _first(channel: _Channel, most: int) -> list[_Raw]:
    """The first by an order of ours: a quorum queue lines up what is given back as it likes, and
    somebody who had looked would throw away another one than he saw. So all are taken, whichever
    are wanted, and no more than these are kept in memory.
    """
    return nsmallest(most, _taken(channel), key=_place)


def _chosen(channel: _Channel, marks: Collection[str] | None) -> Iterator[_Raw]:
    """Of several that are alike no more than are named."""
    wanted = Counter(marks)
    for raw in _taken(channel):
        mark = _mark(raw)
        if marks is None or wanted[mark] > 0:
            wanted[mark] -= 1
            yield raw


def _taken(channel: _Channel) -> Iterator[_Raw]:
    """All that are there now, not acknowledged. What is put back and dies again is none of them."""
    channel.auto_decode = False  # bodies are bytes, whatever encoding somebody declared
    for _ in range(_count(channel)):
        raw = channel.basic_get(topology.DEAD_QUEUE)
        if raw is None:
            return
        yield raw


def _place(raw: _Raw) -> tuple[int, int, str, str]:
    """By burial, so that whatever dies meanwhile comes last. Those that a version before buried are
    first, by acceptance; what is left is told apart by what it is.
    """
    buried_at = _headers(raw).get(topology.BURIED_AT_HEADER)
    letter = _letter(raw)
    return (
        buried_at if isinstance(buried_at, int) else 0,
        letter.accepted_at or LATEST,
        str(letter.message_id),
        letter.mark,
    )


def _mark(raw: _Raw) -> str:
    headers = _headers(raw)
    said = [
        headers.get(name)
        for name in (topology.REASON_HEADER, topology.ACCEPTED_AT_HEADER, topology.BURIED_AT_HEADER)
    ]
    return sha256(
        repr([raw.properties.get("message_id"), *said]).encode(errors="replace") + bytes(raw.body)
    ).hexdigest()


def _put_back(channel: _Channel, raw: _Raw) -> None:
    """Returns when the broker has confirmed it (this connection waits for each) and so has a queue
    for it (`mandatory`). How often it was given back here goes by a header that is left behind:
    there it would count as poison.
    """
    kept = {
        name: value for name, value in _headers(raw).items() if name == topology.ACCEPTED_AT_HEADER
    }
    properties = {"delivery_mode": 2} | (
        {"message_id": raw.properties["message_id"]} if "message_id" in raw.properties else {}
    )
    message = channel.prepare_message(
        raw.body, content_type="application/json", headers=kept, properties=properties
    )
    channel.basic_publish(message, topology.EVENTS_EXCHANGE, "", mandatory=True)


def _letter(raw: _Raw) -> DeadLetter:
    headers = _headers(raw)
    accepted_at = headers.get(topology.ACCEPTED_AT_HEADER)
    return DeadLetter(
        body=bytes(raw.body),
        reason=str(headers.get(topology.REASON_HEADER, _UNKNOWN)),
        message_id=raw.properties.get("message_id"),
        accepted_at=UnixMs(accepted_at) if isinstance(accepted_at, int) else None,
        mark=_mark(raw),
    )


def _headers(raw: _Raw) -> dict[str, Any]:
    return raw.properties.get("application_headers") or {}
