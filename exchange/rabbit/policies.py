"""Which policies of the broker lose events, found out by what queues do: AMQP does not tell a
queue's policy.

Our queues are declared so that most policies do no harm (`topology`). What no argument prevents is
found by canaries: queues of a name that a policy for all queues, or for Ringback's, takes hold of
too, made, tried and deleted. Called by `ringback migrate`, `ringback doctor` and `broker_watch`.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from exchange.rabbit.admin import DENIED, opened_channel, refusal, standing_otherwise

_KEPT_MS = 60_000
"""How long a canary outlives somebody who was killed beside it."""

_BRIEF_MS = 500
_GONE_WITHIN_S = 15.0
"""A quorum queue looks every 5 s whether its time is over. Longer: a policy is found later.
Shorter: a busy broker is taken for a policy.
"""

_LOOK_EVERY_S = 0.5
_APPLIED_WITHIN_S = 3.0
_FILLING = 8
_ROOM = 100
_MOST = 20_000
"""Tiny messages that one look at a limit publishes at most: two seconds. More: it takes longer.
Fewer: a larger limit is not found.
"""

_POLICY = "a policy "
_REMEDY = (
    "give Ringback's queues a policy of their own, of a higher priority and without it: rabbitmqctl set_policy ringback"
    " '^ringback\\.' '{\"delivery-limit\": 1000000}' --apply-to queues --priority 100. See rabbitmqctl list_policies,"
    " list_operator_policies"
)
DROPS_HEADS = "a policy with overflow drop-head throws events away when a queue is full"
EXPIRES = "a policy with expires deletes a queue that no dispatcher reads for a while, with all that is in it"
TTL = "a policy with message-ttl has events expire before they are delivered"


def harms(url: str) -> Iterator[str]:
    """What loses or delays events, one by one as it is found; it takes six seconds to look. Nothing
    when this user may make no queue. Raises ExchangeUnavailable.
    """
    with opened_channel(url) as channel:
        if not _may_look(channel):
            return
        if different := standing_otherwise(channel):
            yield different
        if _drops_heads(channel):
            yield DROPS_HEADS
        yield from _spans(channel)


def advice(found: Sequence[str]) -> str:
    """What was found, and what helps against policies."""
    return "; ".join(found) + (
        f": {_REMEDY}" if any(one.startswith(_POLICY) for one in found) else ""
    )


def may_look(url: str) -> bool:
    """Whether this user may make queues, without which no policy is found."""
    with opened_channel(url) as channel:
        return _may_look(channel)


def room(url: str, waiting: int) -> int | None:
    """How many messages a queue takes at most, if that is about what waits in one now; None: more.
    """
    wanted = min(waiting + _ROOM, _MOST)
    with opened_channel(url) as channel, _canary(channel) as name:
        _fill(channel, name, wanted)
        taken = 0
        for _ in _looks(_APPLIED_WITHIN_S):
            taken = _count(channel, name)
            if taken >= wanted:
                return None
    return taken


def _may_look(channel: Any) -> bool:
    def ask(own: Any) -> None:
        with _canary(own):
            pass

    refused = refusal(channel, ask)
    return refused is None or refused.reply_code != DENIED


def _drops_heads(channel: Any) -> bool:
    with _canary(channel, **{"x-max-length": 1}) as name:
        _fill(channel, name, _FILLING)
        for _ in _looks(_APPLIED_WITHIN_S):  # what asks at once overtakes what is published
            if _count(channel, name):
                break
        head = channel.basic_get(name, no_ack=True)
        return head is not None and bytes(head.body) != _body(0)


def _spans(channel: Any) -> Iterator[str]:
    """One canary's message is to stay, the other queue is to go."""
    with _canary(channel) as lasting, _canary(channel, **{"x-expires": _BRIEF_MS}) as brief:
        _fill(channel, lasting, 1)
        gone = any(refusal(channel, _count, brief) is not None for _ in _looks(_GONE_WITHIN_S))
        if _count(channel, lasting) == 0:
            yield TTL
        if not gone:
            yield EXPIRES


@contextmanager
def _canary(channel: Any, **arguments: int) -> Iterator[str]:
    name = f"ringback.canary.{secrets.token_hex(4)}"
    stated = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-expires": _KEPT_MS,
        **arguments,
    }
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=stated)
    yield name
    channel.queue_delete(name)


def _fill(channel: Any, name: str, count: int) -> None:
    """Without confirms, which this connection would wait for one by one: what is refused is the
    answer.
    """
    for number in range(count):
        type(channel).basic_publish(channel, channel.prepare_message(_body(number)), "", name)


def _body(number: int) -> bytes:
    return str(number).encode()


def _count(channel: Any, name: str) -> int:
    found: int = channel.queue_declare(name, passive=True).message_count
    return found


def _looks(limit_s: float) -> Iterator[None]:
    """One now and then, until the limit."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        time.sleep(_LOOK_EVERY_S)
        yield
