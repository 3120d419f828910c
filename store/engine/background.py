"""Background threads that do one thing again and again, until they are closed.

The one place that decides what becomes of an exception in such a thread. It is logged as
`internal_error`, and the thread goes on: a thread that ended would leave its work undone until
the process restarts. Called by the directory, the writers of the request log and of last uses,
the notification listener and the watch over the broker's policies.
"""

import threading
from collections.abc import Callable

from schemas.log_events import LogEvent
from schemas.observer import Observer


class PeriodicThread:
    """A daemon thread that calls `flush` every `every_s` seconds, and sooner when woken.

    The first call comes `every_s` after the start, or at once when `wake` was called before.
    `flush` may return the seconds until its next call, in place of `every_s`. `finish` is called
    once at the end, in the thread. `name` is the value of `loop` in the log.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[], float | None],
        *,
        every_s: float,
        observer: Observer,
        close_timeout_s: float,
        finish: Callable[[], object] | None = None,
    ):
        self._name, self._flush, self._finish = name, flush, finish
        self._every_s, self._close_timeout_s = every_s, close_timeout_s
        self._observer = observer
        self._stopped, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ringback-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread. Call it once."""
        self._thread.start()

    def wake(self) -> None:
        """Have `flush` called now. Callable from any thread."""
        self._woken.set()

    def close(self) -> None:
        """Stop, and wait up to `close_timeout_s` for a call of `flush` that is under way.

        A thread that takes longer ends after that call, or with the process.
        """
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(self._close_timeout_s)

    @property
    def stopping(self) -> bool:
        """Whether `close` was called: a `flush` that takes long should return."""
        return self._stopped.is_set()

    def is_alive(self) -> bool:
        """Return whether the thread was started and has not ended yet."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the thread to end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        delay_s = self._every_s
        while self._sleep(delay_s):
            delay_s = self._every_s
            try:
                if (asked_s := self._flush()) is not None:
                    delay_s = asked_s
            except Exception as error:  # noqa: BLE001 - see the head of this file
                self._report(error)
        if self._finish is not None:
            try:
                self._finish()
            except Exception as error:  # noqa: BLE001 - nothing above this could handle it
                self._report(error)

    def _sleep(self, delay_s: float) -> bool:
        """Wait for the delay or a wake. Return whether to go on.

        `close` sets `_stopped` first, so a wake that is cleared here is never a lost stop.
        """
        self._woken.wait(delay_s)
        self._woken.clear()
        return not self.stopping

    def _report(self, error: Exception) -> None:
        self._observer.log(LogEvent.INTERNAL_ERROR, loop=self._name, error=repr(error))
