"""Processes of a system under test, each in its own session, ended by process id in any case.

Called by the stage and by both pipelines. What a child prints goes to its log file, as writing the
attempts' log is part of Ringback's work.
"""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

FROM_CHECKOUT = {"PYTHONPATH": str(pathlib.Path(__file__).resolve().parent.parent)}
"""The environment of children that are modules of `benchmarks`. They do not run in the checkout,
where Ringback would read a developer's ringback.env.
"""

_STOP_LIMIT_S = 45.0
"""More than Ringback's own DRAIN_TIMEOUT, so that only Ringback itself cuts a stop short."""


class Child:
    """A process and all that it starts."""

    def __init__(self, command: list[str], log: pathlib.Path, settings: Mapping[str, str]) -> None:
        self._name, self._log = log.stem, log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                cwd=log.parent,
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Raise RuntimeError if the process has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._name} ended with {self._process.returncode}")

    def stop(self) -> None:
        """Send SIGTERM, then end the whole session by force. Prints when the process had to be
        forced.
        """
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                print(
                    f"{self._name} did not stop within {_STOP_LIMIT_S:g} s: {self.tail()}",
                    file=sys.stderr,
                )
        _kill_session(self.pid)
        self._process.wait()

    def tail(self) -> str:
        """Return the end of what it printed."""
        return self._log.read_text(errors="replace")[-1500:]


@contextmanager
def running(
    command: list[str], log: pathlib.Path, settings: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Run a child for the time of the block."""
    child = Child(command, log, settings or {})
    try:
        yield child
    except Exception as error:
        error.add_note(f"the end of {log.name}: {child.tail()}")
        raise
    finally:
        child.stop()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with these settings and no other setting of Ringback."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")
    }
    return {**inherited, **settings}


def _kill_session(pid: int) -> None:
    """End a session, as a worker that outlived its parent would go on answering. Its id is that of
    its first process.
    """
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # all have ended, as they should
