"""Which policies of the broker lose events, found out by what queues do: AMQP does not tell a
queue's policy.

Ringback's queues are declared so that most policies do no harm (`topology`). What no argument
prevents is found by canaries: queues with a name to which a policy for all queues, or for
Ringback's, applies too. They are created, tried and deleted. Called by `ringback migrate`,
`ringback doctor` and `policy_watch`.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from exchange.rabbit.admin import DENIED, different_declarations, opened_channel, refusal
from exchange.rabbit.admin_channel import AdminChannel

_KEPT_MS = 60_000
"""How long a canary outlives a process that was killed while it had one."""

_BRIEF_MS = 500
_GONE_WITHIN_S = 15.0
"""How long a queue may take to expire: a quorum queue checks its time every 5 s. Longer: a policy
is found later. Shorter: a busy broker seems to have a policy.
"""

_CHECK_EVERY_S = 0.5
_APPLIED_WITHIN_S = 3.0
_FILLING = 8
_ROOM = 100
_MOST = 20_000
"""Tiny messages that one check of a limit publishes at most, in two seconds. More: it takes longer.
Fewer: a larger limit is not found.
"""

_POLICY = "a policy "
_REMEDY = (
    "give Ringback's queues a policy of their own, of a higher priority and without it: rabbitmqctl"
    " set_policy ringback '^ringback\\.' '{\"delivery-limit\": 1000000}' --apply-to queues"
    " --priority 100. See rabbitmqctl list_policies, list_operator_policies"
)
DROPS_HEADS = "a policy with overflow drop-head throws events away when a queue is full"
EXPIRES = (
    "a policy with expires deletes a queue that no dispatcher reads for a while, with all that is"
    " in it"
)
TTL = "a policy with message-ttl has events expire before they are delivered"


def harms(url: str) -> Iterator[str]:
    """Yield what loses or delays events, one by one as it is found, which takes six seconds.
    Nothing is found when this user may create no queue. Raises ExchangeUnavailable.
    """
    with opened_channel(url) as channel:
        if not _may_check(channel):
            return
        if different := different_declarations(channel):
            yield different
        if _drops_heads(channel):
            yield DROPS_HEADS
        yield from _time_limits(channel)


def advice(harms: Sequence[str]) -> str:
    """Return what was found, and what helps against policies."""
    remedy = f": {_REMEDY}" if any(harm.startswith(_POLICY) for harm in harms) else ""
    return "; ".join(harms) + remedy


def may_check(url: str) -> bool:
    """Return whether this user may create queues, without which no policy is found."""
    with opened_channel(url) as channel:
        return _may_check(channel)


def room(url: str, waiting: int) -> int | None:
    """Return how many messages a queue holds at most, if that is about what waits in one now; None:
    more.
    """
    wanted = min(waiting + _ROOM, _MOST)
    with opened_channel(url) as channel, _canary(channel) as name:
        if (held := _held(channel, name, wanted, publish=wanted)) < wanted:
            return held
        # A channel learns of a full queue late, and lets a whole burst in. What comes next is refused.
        more = held + _FILLING
        return None if _held(channel, name, more, publish=_FILLING) >= more else held


def _held(channel: AdminChannel, name: str, wanted: int, *, publish: int) -> int:
    """Publish so many, and return how many the queue holds once it has `wanted`, or time is up."""
    _fill(channel, name, publish)
    held = 0
    for _ in _checks(_APPLIED_WITHIN_S):
        held = _count(channel, name)
        if held >= wanted:
            break
    return held


def _may_check(channel: AdminChannel) -> bool:
    def ask(own: AdminChannel) -> None:
        with _canary(own):
            pass

    refused = refusal(channel, ask)
    return refused is None or refused.reply_code != DENIED


def _drops_heads(channel: AdminChannel) -> bool:
    with _canary(channel, **{"x-max-length": 1}) as name:
        _fill(channel, name, _FILLING)
        for _ in _checks(_APPLIED_WITHIN_S):  # an immediate request overtakes what is published
            if _count(channel, name):
                break
        head = channel.basic_get(name, no_ack=True)
        return head is not None and bytes(head.body) != _body(0)


def _time_limits(channel: AdminChannel) -> Iterator[str]:
    """Yield what limits the time of messages or queues: one canary's message should stay, and the
    other queue should expire.
    """
    with _canary(channel) as lasting, _canary(channel, **{"x-expires": _BRIEF_MS}) as brief:
        _fill(channel, lasting, 1)
        gone = any(refusal(channel, _count, brief) is not None for _ in _checks(_GONE_WITHIN_S))
        if _count(channel, lasting) == 0:
            yield TTL
        if not gone:
            yield EXPIRES


@contextmanager
def _canary(channel: AdminChannel, **arguments: int) -> Iterator[str]:
    name = f"ringback.canary.{secrets.token_hex(4)}"
    declared: dict[str, str | int] = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-expires": _KEPT_MS,
        **arguments,
    }
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=declared)
    yield name
    channel.queue_delete(name)


def _fill(channel: AdminChannel, name: str, count: int) -> None:
    """Publish without confirms, which this connection would wait for one by one. What is refused is
    the result.
    """
    for number in range(count):
        type(channel).basic_publish(channel, channel.prepare_message(_body(number)), "", name)


def _body(number: int) -> bytes:
    return str(number).encode()


def _count(channel: AdminChannel, name: str) -> int:
    return channel.queue_declare(name, passive=True).message_count


def _checks(limit_s: float) -> Iterator[None]:
    """Yield now and then, until the limit."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        time.sleep(_CHECK_EVERY_S)
        yield
