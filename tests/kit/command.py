"""The installed program run as a person runs it: in an empty folder, with settings of its own.

Called by the tests of the subcommands that need no running server; `tests.kit.ringback` is for
those that do.
"""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

PROGRAM = str(pathlib.Path(sys.executable).with_name("ringback"))
LIMIT_S = 60


class Done(NamedTuple):
    """How one call ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Place:
    """A folder, and the settings of what is called there:
    `RINGBACK_` settings by their short name.
    """

    def __init__(self, folder: pathlib.Path, **settings: str):
        self.folder = folder
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")
        }
        self.set(**settings)

    def set(self, **settings: str) -> None:
        self.env |= {f"RINGBACK_{name}": value for name, value in settings.items()}

    def call(self, *arguments: str) -> Done:
        """One command, to its end, with nothing on standard input."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """One command that goes on. Its output can be read as it comes."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
