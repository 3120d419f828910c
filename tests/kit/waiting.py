"""Waiting for a condition, with a limit: no test ever sleeps to hope.

Called by the tests and by the private nodes of this kit.
"""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")
_EVERY_S = 0.02
_IDLE_SHARE = 4
"""How many times its own length the pause after a look at the condition is: one that reads ten
thousand requests would take the processor from the receiver that it waits for.
"""


def wait_for(what: str, condition: Callable[[], _Value], limit_s: float = 10) -> _Value:
    """The condition's first true value. A socket that refuses counts as "not yet".

    Raises AssertionError naming `what` when the limit has passed.
    """
    end = time.monotonic() + limit_s
    while True:
        began = time.monotonic()
        if value := _tried(condition):
            return value
        if began > end:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        time.sleep(_pause_s(began))


async def eventually(what: str, condition: Callable[[], _Value], limit_s: float = 10) -> _Value:
    """`wait_for` on a running event loop, which goes on meanwhile."""
    end = time.monotonic() + limit_s
    while True:
        began = time.monotonic()
        if value := _tried(condition):
            return value
        if began > end:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        await asyncio.sleep(_pause_s(began))


def free_port() -> int:
    """A free TCP port of 127.0.0.1, below those that the kernel gives to outgoing connections: one
    of these could take it before the caller does.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _pause_s(began: float) -> float:
    return max(_EVERY_S, _IDLE_SHARE * (time.monotonic() - began))


def _tried(condition: Callable[[], _Value]) -> _Value | None:
    try:
        return condition()
    except OSError:
        return None
