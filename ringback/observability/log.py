"""The log: one JSON object per line on standard output (for a person at a terminal, coloured text).

Lines are made where something happens and written by a thread of their own. A terminal that is
stopped or a pipe that is full costs log lines, which are counted, and never a delivery. Called by
`ringback.observability.observer` and the processes.
"""

import contextlib
import json
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

import orjson
import structlog

from schemas.ids import delivery_id
from schemas.log_events import LogEvent
from schemas.observer import AttemptReport
from schemas.texts import spelled_out
from schemas.times import now_ms, to_rfc3339

Line = dict[str, object]
"""One line of the log, by field."""

WAITING_BYTES = 8 * 1024 * 1024
"""How many bytes may wait for a slow reader: some seconds at full load. Larger: more memory.
Smaller: shorter hiccups lose lines.
"""

GATHERING_S = 0.02
"""The pause between two writes. Longer: more of the last lines before a crash are missing.
Shorter: a system call for every few lines.
"""


class Log:
    """A log that writes to the file descriptor `fd`. Thread-safe. `start` it once; `close` writes
    what waits.

    `dropped` is called with the number of lines that were lost. It must be cheap and may be called
    from any thread.
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
        """Start the thread that writes."""
        self._thread.start()

    def write(self, event: LogEvent, **fields: object) -> None:
        """Write a line about something that happened once."""
        self._append([self._render({**_head(event), **fields})])

    def attempted(self, reports: Iterable[AttemptReport]) -> None:
        """Write a line for each attempt, without headers, URL and answer: these may hold secrets,
        and are in the store.
        """
        head = _head(LogEvent.ATTEMPT)
        self._append([self._render(_attempt_line(report, head)) for report in reports])

    def close(self, limit_s: float = 1.0) -> None:
        """Write what waits. Lines that no reader takes within `limit_s` are lost."""
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
        """Write all of it, in one piece where the system takes it. A reader that is gone costs the
        lines and nothing else.
        """
        rest = memoryview(batch)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._dropped(bytes(rest).count(b"\n"))


def standard_output(*, pretty: bool, dropped: Callable[[int], None]) -> Log:
    """Return the log of a process, started. Warnings of libraries are lines of it."""
    log = Log(1, pretty=pretty, dropped=dropped)
    log.start()
    logging.basicConfig(handlers=[Libraries(log)], level=logging.WARNING, force=True)
    # pika writes seven lines for each failed connection; `broker_disconnected` says it once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    return log


class Libraries(logging.Handler):
    """A handler that writes the warnings of libraries to the log."""

    def __init__(self, log: Log):
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._log.write(LogEvent.LIBRARY_WARNING, **_warning(record))


class AtOnce(logging.Handler):
    """The log of a process that only watches others, and the handler for its libraries. It has no
    thread, and writes each line immediately.
    """

    def __init__(self, fd: int, *, pretty: bool):
        super().__init__()
        self._fd, self._render = fd, _console() if pretty else _json

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self.log(LogEvent.LIBRARY_WARNING, **_warning(record))

    def log(self, event: LogEvent, **fields: object) -> None:
        """Write a line of our own."""
        # A reader that is gone, or does not read, costs the line and nothing else.
        if not select.select([], [self._fd], [], 0)[1]:
            return
        with contextlib.suppress(OSError):
            os.write(self._fd, self._render({**_head(event), **fields}))


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
    """Return the fields of an attempt, the outcome first so that it is visible in a terminal."""
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
    except TypeError:  # half a surrogate pair, or a number over 64 bits: slower, never raises
        return json.dumps(line, default=str, skipkeys=True).encode() + b"\n"


def _console() -> Callable[[Line], bytes]:
    render = structlog.dev.ConsoleRenderer(
        event_key="event", timestamp_key="timestamp", pad_event_to=0, sort_keys=False
    )

    def rendered(line: Line) -> bytes:
        printable = {key: _harmless(value) for key, value in line.items() if value is not None}
        return f"{render(None, '', printable)}\n".encode(errors="backslashreplace")

    return rendered


def _harmless(value: object) -> object:
    """Spell out characters that would move the cursor or start a new line."""
    return spelled_out(str(value))
