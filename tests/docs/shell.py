"""A terminal as a reader of the pages has it: blocks are pasted into it one after the other, some
go on in the background.

What a block exports is there for the next one. Ports and names that are printed on the pages are
swapped for free ones.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

LIMIT_S = 60
_KEEP = "set -eu -o pipefail; . ./.exported; trap 'export -p >.exported' EXIT\n"


class Background:
    """A process that goes on; `said` is all that it printed so far."""

    def __init__(self, script: str, folder: pathlib.Path, env: Mapping[str, str], number: int):
        self._out = folder / f".said-{number}"
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", f". ./.exported; exec env {script}"],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._out.read_text(errors="replace")

    def wait_to_say(self, text: str, limit_s: float = 30) -> str:
        """All that it said, once that is among it."""

        def enough() -> bool:
            assert text in self.said or self.process.poll() is None, (
                f"it ended with {self.process.returncode}: {self.said[-2000:]}"
            )
            return text in self.said

        wait_for(f"{text!r} to be printed", enough, limit_s)
        return self.said

    def end(self, limit_s: float = 40) -> int:
        """As Ctrl-C does: a signal to all of the terminal's foreground; its exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(limit_s)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class Shell:
    """A folder with the program in `.venv/bin`, as `make install` leaves it. A context manager: at
    its end nothing goes on.
    """

    def __init__(self, folder: pathlib.Path, swaps: Mapping[str, str], **env: str):
        self.folder, self.swaps = folder, swaps
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RINGBACK_", "MAKE", "MFLAGS"))
        } | env
        self._started: list[Background] = []
        folder.mkdir(exist_ok=True)
        (folder / ".exported").touch()
        _lay_environment(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._started:
            one.kill()

    def run(self, script: str) -> str:
        """Paste a block: what it printed. It must end well."""
        done = subprocess.run(
            ["bash", "-c", _KEEP + self.swapped(script)],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"exit {done.returncode} of\n{script}\n{done.stdout[-3000:]}"
        return done.stdout

    def start(self, script: str) -> Background:
        """Paste a block of one command that goes on."""
        self._started.append(
            Background(self.swapped(script).strip(), self.folder, self.env, len(self._started))
        )
        return self._started[-1]

    def swapped(self, script: str) -> str:
        for printed, ours in self.swaps.items():
            script = script.replace(printed, ours)
        return script

    def write(self, name: str, text: str) -> None:
        """Save a block as a file."""
        (self.folder / name).write_text(self.swapped(text))


def _lay_environment(folder: pathlib.Path) -> None:
    """The environment that the tests run in, taken for installed: nothing is installed again."""
    environment = folder / ".venv"
    environment.mkdir(exist_ok=True)
    for part in ("bin", "lib", "pyvenv.cfg"):
        (environment / part).symlink_to(pathlib.Path(sys.prefix) / part)
    (environment / ".installed").touch()


def node() -> str:
    """Node.js. The examples for it are run, never skipped."""
    found = shutil.which("node")
    assert found, "no Node.js here, and the examples for it must be run: apt-get install nodejs"
    return found


def swaps(ringback: Ringback) -> dict[str, str]:
    """The address that the pages print, and where this one listens."""
    return {"127.0.0.1:8080": f"127.0.0.1:{ringback.port}"}
