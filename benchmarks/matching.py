"""What matching costs with many tokens that do not match, the memory of the directory, and what a
change of it costs.

Everything runs in this process: an event is read and matched as a dispatcher does it. The floor is
a directory with one such token.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence

from benchmarks import events
from benchmarks.comparison import Row, Target
from benchmarks.stage import Stage
from consumers.pipeline.matching import read
from exchange.port import QueuedMessage
from schemas.events.types import EventType
from schemas.ids import CallbackId, new_callback_id, new_token_id
from schemas.times import UnixMs, now_ms
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Callback, DatedSecret, Token
from store.directory.snapshot import Match, Snapshot

ONE, SOME, MANY = 1, 1_000, 50_000
_ROUNDS = 15
_CHANGES = 50
_NO_DEARER = Target(1.5, at_least=False, of_ratio=True)
_HERE = frozenset({"chn_01"})
"""The channel of the events."""


class Fixed:
    """A directory in which nothing changes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def match(self, event_type: EventType, channel_id: str) -> list[Match]:
        return self._snapshot.match(event_type, channel_id)

    def callback(self, callback_id: CallbackId) -> Match | None:
        return self._snapshot.callback(callback_id)

    def fresh(self) -> bool:
        return True

    def refresh(self) -> None:
        """Do nothing."""


def matching(stage: Stage) -> list[Row]:
    """Measure one token that sees the event, among others that see another channel each."""
    many = stage.size(MANY, MANY // 10)
    reads = stage.size(2_000, 200)
    snapshots = {size: _snapshot(_others(size)) for size in (ONE, SOME, many)}
    took = {size: _reading_us(Fixed(snapshot), reads) for size, snapshot in snapshots.items()}
    rows = [
        Row("matching", f"read + match, {size:,} other tokens, µs/event", us, took[ONE], _NO_DEARER)
        for size, us in took.items()
    ]
    changes = {size: _changing_us(snapshot) for size, snapshot in snapshots.items()}
    rows += [
        Row("matching", f"a change, {size:,} other tokens, µs", us, changes[ONE])
        for size, us in changes.items()
    ]
    return [
        *rows,
        Row(
            "matching",
            f"memory of {many:,} tokens with three callbacks each, MB",
            _held_mb(lambda: _snapshot(_others(many))),
        ),
    ]


def _snapshot(others: Sequence[Token]) -> Snapshot:
    return Snapshot().changed([*others, _token("the one", _HERE)])


def _others(size: int) -> list[Token]:
    return [_token(f"token {number}", frozenset({f"other {number}"})) for number in range(size)]


def _token(name: str, channels: frozenset[str]) -> Token:
    """Return a token as the store reads it, sharing nothing with another."""
    token_id = new_token_id()
    callbacks = [
        Callback(
            new_callback_id(),
            token_id,
            event_type,
            f"https://receiver.example/{name}",
            True,
            {"x-key": name},
        )
        for event_type in EventType
    ]
    return Token(
        id=token_id,
        name=name,
        hint="rbk_…w3Zq",
        created_at=UnixMs(0),
        activates_at=UnixMs(0),
        expires_at=None,
        revoked_at=None,
        enabled=True,
        permissions=frozenset({Permission.CONVERSATIONS_READ}),
        channels=channels,
        callbacks={callback.type: callback for callback in callbacks},
        last_used_at=None,
        hashes=(DatedSecret(token_id.encode()),),
        signing_keys=(DatedSecret(token_id.encode()),),
    )


def _reading_us(directory: Fixed, count: int) -> float:
    """Return the median of rounds, per event."""
    now = now_ms()
    messages = [
        QueuedMessage(events.published(f"evt_{number}", number, 0.0), None, None, 0, None)
        for number in range(count)
    ]
    took: list[float] = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        for message in messages:
            _, owners = read(message, directory, now)
        took.append((time.perf_counter() - began_s) / count * 1e6)
        if len(owners) != 1:
            raise RuntimeError(
                f"{len(owners)} callbacks match, not one: something else is measured"
            )
    return statistics.median(took)


def _changing_us(snapshot: Snapshot) -> float:
    """Return the median of changes of one token each, as the directory applies them."""
    took: list[float] = []
    for number in range(_CHANGES):
        token = _token(f"new {number}", _HERE)
        began_s = time.perf_counter()
        snapshot = snapshot.changed([token])
        took.append((time.perf_counter() - began_s) * 1e6)
    return statistics.median(took)


def _held_mb(make: Callable[[], object]) -> float:
    tracemalloc.start()
    held = make()
    mb = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    del held
    return mb
