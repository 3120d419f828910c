"""Dead letters on the broker: read by taking them and giving them back, which changes neither their order nor what they are.

For people, at a few hundred a second; kombu does it, on one short connection for each call.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeAlias

from exchange import topology
from exchange.dead import DeadLetter
from exchange.rabbit_admin import declare_on, opened_channel
from schemas.times import UnixMs

_Channel: TypeAlias = Any  # kombu has types in part
_Raw: TypeAlias = Any
_UNKNOWN = "the broker gave it up"


class RabbitDeadLetters:
    """Those of `ringback.dead`. What another process holds just now is not seen."""

    def __init__(self, url: str):
        self._url = url

    def count(self) -> int:
        with opened_channel(self._url) as channel:
            declare_on(channel)
            return _count(channel)

    def look(self, most: int) -> list[DeadLetter]:
        with opened_channel(self._url) as channel:
            declare_on(channel)
            return [_letter(raw) for _, raw in _taken(channel, most)]

    def replay(self, numbers: Collection[int], told: Callable[[], None]) -> None:
        self._each(numbers, _put_back, told)

    def drop(self, numbers: Collection[int], told: Callable[[], None]) -> None:
        self._each(numbers, lambda _channel, _raw: None, told)

    def _each(self, numbers: Collection[int], act: Callable[[_Channel, _Raw], None], told: Callable[[], None]) -> None:
        """Those that were not chosen go back when the channel is closed, to where they were."""
        with opened_channel(self._url) as channel:
            declare_on(channel)
            for number, raw in _taken(channel, max(numbers, default=0)):
                if number in numbers:
                    act(channel, raw)
                    channel.basic_ack(raw.delivery_tag)
                    told()


def _count(channel: _Channel) -> int:
    found: int = channel.queue_declare(topology.DEAD_QUEUE, passive=True).message_count
    return found


def _taken(channel: _Channel, most: int) -> Iterator[tuple[int, _Raw]]:
    """The oldest, numbered; not acknowledged. What was put back and died again comes behind the last of them."""
    channel.auto_decode = False  # bodies are bytes, whatever encoding somebody declared
    for number in range(1, most + 1):
        raw = channel.basic_get(topology.DEAD_QUEUE)
        if raw is None:
            return
        yield number, raw


def _put_back(channel: _Channel, raw: _Raw) -> None:
    """Returns when the broker has confirmed it (this connection waits for each) and so has a queue for it (`mandatory`)."""
    kept = {name: value for name, value in _headers(raw).items() if name == topology.ACCEPTED_AT_HEADER}
    properties = {"delivery_mode": 2} | ({"message_id": raw.properties["message_id"]} if "message_id" in raw.properties else {})
    message = channel.prepare_message(raw.body, content_type="application/json", headers=kept, properties=properties)
    channel.basic_publish(message, topology.EVENTS_EXCHANGE, "", mandatory=True)


def _letter(raw: _Raw) -> DeadLetter:
    headers = _headers(raw)
    accepted_at = headers.get(topology.ACCEPTED_AT_HEADER)
    return DeadLetter(
        body=bytes(raw.body),
        reason=str(headers.get(topology.REASON_HEADER, _UNKNOWN)),
        message_id=raw.properties.get("message_id"),
        accepted_at=UnixMs(accepted_at) if isinstance(accepted_at, int) else None,
    )


def _headers(raw: _Raw) -> dict[str, Any]:
    return raw.properties.get("application_headers") or {}
