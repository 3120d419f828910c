"""The webhook as a command: what a shell makes of it is the body to the byte, and the headers."""

import itertools
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.explaining.curl import INLINE_BYTES, curl_command

URL = "https://receiver.test/hook?key=a'b&x=[1]"
HEADERS = {"webhook-id": "evt_1", "x-key": 'it\'s $HOME `id` "quoted" \\', "x-empty": ""}
CURL = """#!/bin/sh
cat > "$OUT/body"
for argument in "$@"; do printf '%s\\0' "$argument"; done > "$OUT/arguments"
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `curl` that keeps what it was given."""
    folder = tmp_path_factory.mktemp("shell")
    program = folder / "curl"
    program.write_text(CURL)
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"text":"it\'s 100% $HOME `id` \\n \\\\ !! \\u0000"}',
        '{"text":"caffè 👋"}'.encode(),
        b'{\n  "a": 1.10\n}\n',
        b'{\r\n\t"a": 1}',
        '{"text":"\u202eabc"}'.encode(),
        b"\xff\xfe",
        b"",
    ],
)
def test_the_body_arrives_to_the_byte(shell: Path, body: bytes) -> None:
    """The signature is over these bytes: one more line feed, and receivers refuse it."""
    sent, arguments = run(shell, curl_command(URL, HEADERS, body, "evt_1.json").text)

    assert sent == body
    assert arguments[-2:] == ["--data-binary", "@-"]


@given(text=st.text(max_size=200))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_arrives(shell: Path, text: str) -> None:
    """Whatever a customer wrote."""
    sent, _ = run(shell, curl_command(URL, {}, text.encode(), "evt_1.json").text)

    assert sent == text.encode()


def test_url_and_headers_arrive_as_they_are(shell: Path) -> None:
    """A quotation mark in them ends no argument, and nothing is expanded."""
    _, arguments = run(shell, curl_command(URL, HEADERS, b"{}", "evt_1.json").text)

    assert URL in arguments
    given = [after for before, after in itertools.pairwise(arguments) if before == "-H"]
    assert given == ["webhook-id: evt_1", f"x-key: {HEADERS['x-key']}", "x-empty;"]


def test_a_large_body_comes_from_a_file(shell: Path) -> None:
    """A command of 256 KiB is nothing to look at."""
    body = b'"' + b"x" * INLINE_BYTES + b'"'

    command = curl_command(URL, {}, body, "evt_1.json")

    assert command.file == "evt_1.json"
    _, arguments = run(shell, command.text)
    assert arguments[-2:] == ["--data-binary", "@evt_1.json"]


def run(shell: Path, command: str) -> tuple[bytes, list[str]]:
    """Run a command in a shell. Return the body and the arguments that curl was given."""
    subprocess.run(
        ["sh", "-c", command],
        check=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
        env={"PATH": f"{shell}:/usr/bin:/bin", "OUT": str(shell), "HOME": "/home/x"},
    )
    arguments = (shell / "arguments").read_bytes().decode().split("\0")[:-1]
    return (shell / "body").read_bytes(), arguments
