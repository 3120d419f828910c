"""Stopping before the start is complete: real processes, held up by a database that takes their
connection and says nothing.
"""

import signal
import socket
from pathlib import Path

import pytest

from tests.kit.command import Place

SAID = "ringback: stopped before it had started"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["serve", "api", "dispatch"])
def test_a_process_that_is_still_starting_leaves_with_a_word(
    tmp_path: Path, command: str, sig: signal.Signals
) -> None:
    """A supervisor that changes its mind, or a person: no trace of ours, and no failure where none
    was.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"postgresql+psycopg://ringback:ringback@127.0.0.1:{silent.getsockname()[1]}/ringback"
        place = Place(
            tmp_path,
            DATABASE_URL=url,
            SECRET_KEY="a-secret-key-for-tests-only",
            LISTEN="127.0.0.1:0",
        )

        with place.start(command) as process:
            held_up, _ = silent.accept()
            process.send_signal(sig)
            out, _ = process.communicate(timeout=60)
            held_up.close()

    assert (process.returncode, out.strip()) == (0, SAID)
