"""The Python interpreter, set up for a process that runs long."""

import ctypes
import gc
import resource
import sys

_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1  # of glibc's malloc.h
_ARENAS = 2
"""Heaps that all threads share. More: each keeps what the largest request once needed. Fewer:
threads wait for one another.
"""

_MAPPED_BYTES = 32 * 1024
"""Memory blocks of this size and more are returned to the system when they are freed. By itself
glibc stops doing so after the first large one. Larger: what two hundred downloads needed stays with
the process. Smaller: more system calls.
"""

_SWITCH_INTERVAL_S = 0.0002
"""How long a thread that computes may keep the GIL from another. The event loop takes the GIL for
each socket that is ready: longer, and a list that is being made delays every event. Shorter: more
switches.
"""


def favour_event_loop() -> None:
    """Let the event loop take its turn soon, whatever other threads compute."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def share_memory() -> None:
    """Limit the heaps of glibc. Call it before the first thread starts.

    glibc gives each thread its own heap, up to eight for each core, which hardly ever shrinks.
    Another C library has no such function.
    """
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 4 * _MAPPED_BYTES)


def settle() -> None:
    """Exclude what is loaded from garbage collection. Call it once everything is loaded.

    A full collection stopped all threads for 40 to 80 ms, every few thousand requests.
    """
    gc.collect()
    gc.freeze()


def allow_many_connections() -> None:
    """Raise the soft limit of file descriptors to the hard one. Every client and every attempt in
    flight needs one, and a service manager's usual soft limit is 1,024.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
