"""A program of the machine's own, started for a test in a folder that is gone afterwards. Missing
it fails the tests that need it.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from typing import Self

from tests.kit.waiting import wait_for


class StartedProgram:
    """A context manager: inside it the program runs, at its end nothing is left. A subclass says
    how to start it, and when it runs.
    """

    name: str
    command: list[str]

    def __init__(self) -> None:
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"ringback-{self.name}-"))

    def __enter__(self) -> Self:
        with (self.dir / "said").open("wb") as out:
            self._process = subprocess.Popen(
                self.command, stdout=out, stderr=out, start_new_session=True
            )
        wait_for(f"{self.name} to run", self._lives_and_runs)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        shutil.rmtree(self.dir)

    def runs(self) -> bool:
        """Whether it does its work already; an OSError counts as "not yet"."""
        raise NotImplementedError

    def _lives_and_runs(self) -> bool:
        assert self._process.poll() is None, (self.dir / "said").read_text()
        return self.runs()


def path_of(name: str) -> str:
    """Its path, also where only root looks."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert path, f"no {name} here: apt-get install {name}"
    return path
