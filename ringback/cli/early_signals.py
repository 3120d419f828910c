"""Signals while a process starts: importing and connecting take a second, in which it cannot stop
in an orderly way.

Called by the subcommands that run until a signal. Their processes handle signals as soon as they
have something to finish.
"""

import os
import signal
from types import FrameType

_STOPPED = b"ringback: stopped before it had started\n"


def leave_on_signals() -> None:
    """Make SIGTERM and SIGINT print one line and exit 0 immediately, until something else handles
    them.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End the process. An exception would not do: a library's callback that it is raised in may
    drop it, and the signal with it. Nothing was accepted yet that could be lost.
    """
    os.write(2, _STOPPED)
    os._exit(0)
