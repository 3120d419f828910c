"""The log: one JSON object per line on standard output (for a person at a terminal, coloured text).

Lines are made where something happens and written by a thread of their own, so a terminal that is
stopped or a pipe that is full costs log lines, which are counted, and never a delivery. Called by
`ringback.observability.observer` and the processes.
"""

import contextlib
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import structlog

from schemas.ids import delivery_id
from schemas.log_events import LogEvent
from schemas.observer import AttemptReport
from schemas.texts import spelled_out
from schemas.times import now_ms, to_rfc3339

Line = dict[str, Any]

WAITING_BYTES = 8 * 1024 * 1024
"""What may wait for a slow reader, some seconds at full load. More: memory. Less: lines are lost to
shorter hiccups.
"""

GATHERING_S = 0.02
"""Between two writes. Longer: the last lines before a crash are missing. Shorter: a system call for
every few lines.
"""


class Log:
    """Writes to the file descriptor `fd`. Thread-safe; `start` once, `close` at the end writes what
    waits.

    `dropped` is told how many lines were lost; it must be cheap and may be called from any thread.
    """

    def __init__(self, fd: int, *, pretty: bool, dropped: Callable[[int], None]):
        self._fd, self._dropped = fd, dropped
        self._render = _console() if pretty else _json
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._written_to = threading.Event()
        self._closing = False
        self._thread = threading.Thread(
            target=self._write_for_ever, name="ringback-log", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def write(self, event: LogEvent, **fields: object) -> None:
        """One line about something that happened once."""
        self._append([self._render({**_head(event), **fields})])

    def attempted(self, reports: Iterable[AttemptReport]) -> None:
        """A line for each attempt. No header, no URL, no answer: those may hold secrets, and are in
        the store.
        """
        head = _head(LogEvent.ATTEMPT)
        self._append([self._render(_attempt_line(report, head)) for report in reports])

    def close(self, limit_s: float = 1.0) -> None:
        """Write what waits; what nobody reads within `limit_s` is given up."""
        self._closing = True
        self._written_to.set()
        if self._thread.is_alive():
            self._thread.join(limit_s)

    def _append(self, lines: list[bytes]) -> None:
        batch = b"".join(lines)
        with self._lock:
            fits = self._waiting_bytes + len(batch) <= WAITING_BYTES
            if fits:
                self._waiting.append(batch)
                self._waiting_bytes += len(batch)
        if fits:
            self._written_to.set()
        else:
            self._dropped(len(lines))

    def _write_for_ever(self) -> None:
        while not (self._closing and not self._waiting):
            self._written_to.wait()
            self._written_to.clear()
            with self._lock:
                batch = b"".join(self._waiting)
                self._waiting.clear()
            self._write(batch)
            with self._lock:
                self._waiting_bytes -= len(batch)
            if not self._closing:
                time.sleep(GATHERING_S)

    def _write(self, batch: bytes) -> None:
        """In one piece where the system takes it. A reader that is gone loses the lines, not us."""
        rest = memoryview(batch)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._dropped(bytes(rest).count(b"\n"))


def standard_output(*, pretty: bool, dropped: Callable[[int], None]) -> Log:
    """The log of a process, started; warnings of the libraries go into it as notes."""
    log = Log(1, pretty=pretty, dropped=dropped)
    log.start()
    logging.basicConfig(handlers=[Libraries(log)], level=logging.WARNING, force=True)
    logging.getLogger("pika").setLevel(
        logging.CRITICAL
    )  # seven lines for each failed connect; ours says it once
    return log


class Libraries(logging.Handler):
    """What pika, granian and others tell the standard library's logging."""

    def __init__(self, log: Log):
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write(LogEvent.LIBRARY_WARNING, **_warning(record))


class AtOnce(logging.Handler):
    """The same for a process that only watches others and has no log of its own: a line is written
    where it is made.
    """

    def __init__(self, fd: int, *, pretty: bool):
        super().__init__()
        self._fd, self._render = fd, _console() if pretty else _json

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # a reader that is gone loses the line, not us
            os.write(
                self._fd,
                self._render({**_head(LogEvent.LIBRARY_WARNING), **_warning(record)}),
            )


def _head(event: LogEvent) -> Line:
    return {"timestamp": to_rfc3339(now_ms()), "level": event.level, "event": event.value}


def _warning(record: logging.LogRecord) -> Line:
    error = record.exc_info[1] if record.exc_info else None
    return {
        "library": record.name,
        "message": record.getMessage(),
        "error": None if error is None else repr(error),
    }


def _attempt_line(report: AttemptReport, head: Line) -> Line:
    """How it ended stands in front, where whoever reads along at a terminal looks."""
    delivery, attempt = report.delivery, report.attempt
    return {
        **head,
        "outcome": attempt.outcome,
        "status_code": attempt.status_code,
        "error": attempt.error,
        "event_id": delivery.event_id,
        "type": delivery.type,
        "delivery_id": delivery_id(delivery.event_id, delivery.callback_id),
        "token_id": delivery.token_id,
        "callback_id": delivery.callback_id,
        "attempt_id": attempt.id,
        "number": attempt.number,
        "trigger": attempt.trigger,
        "duration_ms": attempt.duration_ms,
        "state": report.state,
        "next_attempt_in_s": report.next_attempt_in_s,
    }


def _json(line: Line) -> bytes:
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair, or a number beyond 64 bits: slower, and never raised
        return json.dumps(line, default=str, skipkeys=True).encode() + b"\n"


def _console() -> Callable[[Line], bytes]:
    render = structlog.dev.ConsoleRenderer(
        event_key="event", timestamp_key="timestamp", pad_event_to=0, sort_keys=False
    )

    def rendered(line: Line) -> bytes:
        told = {key: _harmless(value) for key, value in line.items() if value is not None}
        return f"{render(None, '', told)}\n".encode(errors="backslashreplace")

    return rendered


def _harmless(value: object) -> object:
    """Without what would move the cursor or start a line of its own."""
    return spelled_out(str(value))
