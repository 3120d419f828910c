"""Runs first in every sabotaged process (`site` imports it): breaks what no proxy can reach, as
files in CHAOS_FOLDER say.

names `fail`: names cannot be found; `hang`: no name server answers. Absent: `receiver.test` is
127.0.0.1 clock seconds by which the wall clock is wrong poison the id of an event whose webhook
ends the process that puts it together
"""

import os
import pathlib
import signal
import socket
import time
from typing import Any

_FOLDER = pathlib.Path(os.environ["CHAOS_FOLDER"])
_HANG_EVERY_S = 0.1

_getaddrinfo, _time, _time_ns = socket.getaddrinfo, time.time, time.time_ns


def _said(name: str) -> str:
    try:
        return (_FOLDER / name).read_text()
    except FileNotFoundError:
        return ""


def _looked_up(host: Any, *arguments: Any, **options: Any) -> Any:
    if host not in ("receiver.test", b"receiver.test"):
        return _getaddrinfo(host, *arguments, **options)
    while _said("names") == "hang":
        time.sleep(_HANG_EVERY_S)
    if _said("names") == "fail":
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo("127.0.0.1", *arguments, **options)


class _Clock:
    """The wall clock, wrong by what the file said at most a moment ago: it is asked far more often
    than the file is worth reading.
    """

    def __init__(self) -> None:
        self._wrong_ns, self._read_s = 0, 0.0

    def time_ns(self) -> int:
        now_s = time.monotonic()
        if now_s - self._read_s > 0.05:
            self._wrong_ns, self._read_s = int(float(_said("clock") or "0") * 1e9), now_s
        return _time_ns() + self._wrong_ns

    def time(self) -> float:
        return self.time_ns() / 1e9


_clock = _Clock()
socket.getaddrinfo = _looked_up
time.time, time.time_ns = _clock.time, _clock.time_ns


# After the clock was broken, which they may import by name.
from dispatcher import webhook_request  # noqa: E402  # see above
from schemas import signature  # noqa: E402


def _sign_or_die(keys: Any, event_id: str, timestamp_s: int, body: bytes) -> str:
    if event_id == _said("poison"):
        os.kill(os.getpid(), signal.SIGKILL)
    return signature.sign(keys, event_id, timestamp_s, body)


vars(webhook_request)[signature.sign.__name__] = _sign_or_die
