"""The functions that suppliers copy to verify a signature: the same on every page, and right in
every language that is installed here.
"""

import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html import unescape

import pytest

from api.docs.templates import SNIPPETS, snippet
from schemas.signature import sign
from schemas.tokens.secrets import new_signing_secret, signing_key
from tests.docs.pages import read
from tests.docs.shell import node
from tests.kit.api import Caller, House

FENCES = {"python": "python", "node": "js", "php": "php", "java": "java"}
EVENT_ID = "evt_1"
BODY = '{"id":"evt_1","data":{"text":"caffè 👋"}}'.encode()

# Each is called with the secret and the three headers, gets the body on standard input, and prints
# the event's id.
_PYTHON = """
import sys

names = ["webhook-id", "webhook-timestamp", "webhook-signature"]
print(verify(sys.argv[1], dict(zip(names, sys.argv[2:])), sys.stdin.buffer.read())["id"])
"""
_NODE = """
const [secret, id, timestamp, signature] = process.argv.slice(2);
const headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature};
console.log(verify(secret, headers, require("node:fs").readFileSync(0)).id);
"""
_PHP = """
[, $secret, $id, $timestamp, $signature] = $argv;
$headers = ['webhook-id' => $id, 'webhook-timestamp' => $timestamp, 'webhook-signature' => $signature];
echo verify($secret, $headers, stream_get_contents(STDIN))['id'];
"""
_JAVA = """
import java.util.Map;

final class Check {
    public static void main(String[] given) throws Exception {
        var headers = Map.of("webhook-id", given[1], "webhook-timestamp", given[2], "webhook-signature", given[3]);
        Webhook.verify(given[0], headers, System.in.readAllBytes());
        System.out.println(given[1]);
    }
}
"""

Verify = Callable[..., str]
"""The id of what is genuine, else what the program complained of."""


def _installed(program: str) -> str:
    return shutil.which(program) or pytest.skip(
        f"{program} is not installed here: the example for it is not run"
    )


def _command(language: str, folder: pathlib.Path) -> list[str]:
    """A program around the snippet."""
    text = snippet(language)
    if language == "java":
        (folder / "Webhook.java").write_text(text)
        (folder / "Check.java").write_text(_JAVA)
        subprocess.run(
            [_installed("javac"), "-encoding", "UTF-8", "Webhook.java", "Check.java"],
            cwd=folder,
            check=True,
            timeout=60,
        )
        return [_installed("java"), "-cp", str(folder), "Check"]
    program = folder / f"check.{FENCES[language]}"
    program.write_text(text + {"python": _PYTHON, "node": _NODE, "php": _PHP}[language])
    return [
        {"python": lambda: sys.executable, "node": node, "php": lambda: _installed("php")}[
            language
        ](),
        str(program),
    ]


@pytest.fixture(params=SNIPPETS)
def verify(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Verify:
    command = _command(request.param, tmp_path)

    def run(secret: str, timestamp_s: int, signature: str, body: bytes = BODY) -> str:
        arguments = [*command, secret, EVENT_ID, str(timestamp_s), signature]
        done = subprocess.run(arguments, input=body, capture_output=True, timeout=60, check=False)
        return (done.stdout if done.returncode == 0 else done.stderr).decode().strip()

    return run


def test_what_is_genuine_is_taken_and_nothing_else(verify: Verify) -> None:
    """With either secret during a rotation; not with a byte changed, another's secret, or an hour
    later.
    """
    old, new, others = (new_signing_secret() for _ in range(3))
    now_s = int(time.time())
    signature = sign([signing_key(old), signing_key(new)], EVENT_ID, now_s, BODY)

    assert verify(old, now_s, signature) == verify(new, now_s, signature) == EVENT_ID
    assert "does not fit" in verify(new, now_s, signature, BODY.replace(b"caff", b"Caff"))
    assert "does not fit" in verify(others, now_s, signature)
    assert "does not fit" in verify(new, now_s + 1, signature)
    recorded_s = now_s - 3600
    assert "too old" in verify(
        new, recorded_s, sign([signing_key(new)], EVENT_ID, recorded_s, BODY)
    )


@pytest.fixture
def download(tmp_path: pathlib.Path) -> Iterator[str]:
    house = House(tmp_path)
    yield unescape(Caller(house, None).call("GET", "/docs/ringback-api.html").text)
    house.close()


@pytest.mark.parametrize("name", SNIPPETS)
def test_every_page_shows_the_same_function(download: str, name: str) -> None:
    """There is one of each language, and the test above runs that one."""
    text = snippet(name)

    assert text in read("docs/receivers.md").in_section("Verify a signature", FENCES[name])
    assert text in download
    if name in ("python", "node"):
        assert text in read("README.md").in_section("Verify a webhook", FENCES[name])
