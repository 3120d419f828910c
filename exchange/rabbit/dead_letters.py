"""Dead letters on the broker: read by fetching them and giving them back.

For people, at a few hundred a second. kombu does it, on one short connection for each call.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import sha256
from heapq import nsmallest
from typing import cast

from exchange import topology
from exchange.dead_letters import DeadLetter
from exchange.rabbit.admin import ensure_on, opened_channel
from exchange.rabbit.admin_channel import AdminChannel, RawMessage
from schemas.times import LATEST, UnixMs

_UNKNOWN = "the broker gave it up"


class RabbitDeadLetters:
    """The letters in `ringback.dead`, but for those that another process holds just now."""

    def __init__(self, url: str):
        self._url = url

    def count(self) -> int:
        """Return how many letters there are."""
        with opened_channel(self._url) as channel:
            ensure_on(channel)
            return _count(channel)

    def peek(self, most: int) -> list[DeadLetter]:
        """Return the first letters, which stay where they are."""
        with opened_channel(self._url) as channel:
            ensure_on(channel)
            return [_letter(raw) for raw in _first(channel, most)]

    def replay(self, marks: Collection[str] | None, on_progress: Callable[[], None]) -> None:
        """Publish letters again, and delete them here once they are confirmed."""
        self._each(marks, _publish_again, on_progress)

    def drop(self, marks: Collection[str] | None, on_progress: Callable[[], None]) -> None:
        """Delete letters."""
        self._each(marks, lambda _channel, _raw: None, on_progress)

    def _each(
        self,
        marks: Collection[str] | None,
        act: Callable[[AdminChannel, RawMessage], None],
        on_progress: Callable[[], None],
    ) -> None:
        """Call `act` for the selected letters, and delete them. The others go back when the channel
        is closed.
        """
        with opened_channel(self._url) as channel:
            ensure_on(channel)
            for raw in sorted(_selected(channel, marks), key=_position):
                act(channel, raw)
                channel.basic_ack(raw.delivery_tag)
                on_progress()


def _count(channel: AdminChannel) -> int:
    return channel.queue_declare(topology.DEAD_QUEUE, passive=True).message_count


def _first(channel: AdminChannel, most: int) -> list[RawMessage]:
    """Return the first letters by `_position`. A quorum queue orders what is given back as it
    likes, and a person would delete another letter than the one that was shown. So all are fetched,
    and no more than `most` are kept in memory.
    """
    return nsmallest(most, _fetched(channel), key=_position)


def _selected(channel: AdminChannel, marks: Collection[str] | None) -> Iterator[RawMessage]:
    """Yield the letters with these marks: of several that are identical, no more than are named."""
    wanted = Counter(marks)
    for raw in _fetched(channel):
        mark = _mark(raw)
        if marks is None or wanted[mark] > 0:
            wanted[mark] -= 1
            yield raw


def _fetched(channel: AdminChannel) -> Iterator[RawMessage]:
    """Fetch all that are there now, unacknowledged. A letter that is published again and comes back
    is not among them.
    """
    channel.auto_decode = False  # bodies are bytes, whatever encoding their publisher declared
    for _ in range(_count(channel)):
        raw = channel.basic_get(topology.DEAD_QUEUE)
        if raw is None:
            return
        yield raw


def _position(raw: RawMessage) -> tuple[int, int, str, str]:
    """Order letters by when they were dead-lettered, so that a new one comes last. Those of an
    earlier version, without that time, come first, by acceptance. The rest is ordered by content.
    """
    dead_lettered_at = _headers(raw).get(topology.DEAD_LETTERED_AT_HEADER)
    letter = _letter(raw)
    return (
        dead_lettered_at if isinstance(dead_lettered_at, int) else 0,
        letter.accepted_at or LATEST,
        str(letter.message_id),
        letter.mark,
    )


def _mark(raw: RawMessage) -> str:
    headers = _headers(raw)
    names = (topology.REASON_HEADER, topology.ACCEPTED_AT_HEADER, topology.DEAD_LETTERED_AT_HEADER)
    values = [raw.properties.get("message_id"), *(headers.get(name) for name in names)]
    return sha256(repr(values).encode(errors="replace") + bytes(raw.body)).hexdigest()


def _publish_again(channel: AdminChannel, raw: RawMessage) -> None:
    """Publish a letter as an event.

    Returns when the broker has confirmed it (this connection waits for each) and so has a queue for
    it (`mandatory`). The header that counts how often it was given back is left out: there it would
    count as poison.
    """
    kept = {
        name: value for name, value in _headers(raw).items() if name == topology.ACCEPTED_AT_HEADER
    }
    properties: dict[str, object] = {"delivery_mode": 2}
    if "message_id" in raw.properties:
        properties["message_id"] = raw.properties["message_id"]
    message = channel.prepare_message(
        raw.body, content_type="application/json", headers=kept, properties=properties
    )
    channel.basic_publish(message, topology.EVENTS_EXCHANGE, "", mandatory=True)


def _letter(raw: RawMessage) -> DeadLetter:
    headers = _headers(raw)
    accepted_at = headers.get(topology.ACCEPTED_AT_HEADER)
    return DeadLetter(
        body=bytes(raw.body),
        reason=str(headers.get(topology.REASON_HEADER, _UNKNOWN)),
        message_id=cast("str | None", raw.properties.get("message_id")),
        accepted_at=UnixMs(accepted_at) if isinstance(accepted_at, int) else None,
        mark=_mark(raw),
    )


def _headers(raw: RawMessage) -> Mapping[str, object]:
    return cast("Mapping[str, object]", raw.properties.get("application_headers") or {})
