"""The kit's misbehaving receiver in a process of its own, so that what it makes up costs the
scenario's load no time.

python -m tests.chaos.odd_receiver prints its port, and ends with its standard input
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.children import FROM_CHECKOUT, environment
from tests.kit.receiver import Receiver


@contextlib.contextmanager
def odd_receiver() -> Iterator[int]:
    """Its port, for the time of the block."""
    command = [sys.executable, "-m", "tests.chaos.odd_receiver"]
    with subprocess.Popen(
        command,
        env=environment(FROM_CHECKOUT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()  # it may be in the middle of an endless answer


if __name__ == "__main__":
    with Receiver() as receiver:
        print(receiver.port, flush=True)
        sys.stdin.read()
