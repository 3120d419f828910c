"""The README as a newcomer reads it: every command in its order, and what it says that one then
sees.
"""

import json
import pathlib
import re
import shutil
import stat
import subprocess
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy.engine import make_url

from schemas.events.samples import sample_event
from schemas.events.types import EventType
from tests.docs.pages import ROOT, read
from tests.docs.shell import Background, Shell, node
from tests.kit.client import Client
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.receiver import Received, Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import free_port, wait_for

README = read("README.md")
EMBEDDED = (
    "Start",
    "Publish more",
    "Your own receiver",
    "What was delivered, and why not",
    "Files, stopping, and resetting",
)
VERIFYING, SAMPLES, SERVICES = "Verify a webhook", "The three events", "RabbitMQ and PostgreSQL"
_NOT_COPIED = shutil.ignore_patterns(".*", "var", "__pycache__", "*.egg-info", "out")


def test_every_section_with_something_to_run_is_run_by_a_test() -> None:
    """A new section must not slip through."""
    assert README.runnable_sections() == {*EMBEDDED, VERIFYING, SAMPLES, SERVICES}


def fits(shown: str, real: str) -> bool:
    """Whether `real` holds what is shown, line by line; `…` is anything."""
    lines = (re.escape(line).replace("…", ".*") for line in shown.strip().splitlines())
    return re.search("^" + "\n".join(lines) + ".*$", real, re.MULTILINE) is not None


class Newcomer:
    """Follows the README in a clone. Where it prints the ports 8080, 9000 and 9100, ours are free
    ones.
    """

    def __init__(self, folder: pathlib.Path):
        self.port, self.listen_port = free_port(), free_port()
        _make_repository(folder / "origin")
        subprocess.run(
            ["git", "clone", "-q", "origin", "ringback"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        self.make_run = README.only("Start", "sh").strip()
        swaps = {"127.0.0.1:8080": f"127.0.0.1:{self.port}", ":9100": f":{free_port()}"}
        self.shell = Shell(folder / "ringback", swaps, RINGBACK_LISTEN=f"127.0.0.1:{self.port}")

    def start(self) -> Background:
        making = self.shell.start(self.make_run)
        making.wait_to_say("Ctrl-C stops.")
        return making

    def listen_where_there_is_room(self, quickstart: dict[str, str], line: str) -> Background:
        """The printed `listen` line; port 9000 may be anybody's on this machine, so ours is
        another, and the callbacks follow.
        """
        with Client(self.port, quickstart["token"]) as client:
            (token,) = client.get("/v1/tokens")["data"]
            assert {callback["url"] for callback in token["callbacks"].values()} == {
                "http://127.0.0.1:9000/"
            }
            for kind in EventType:
                changed = client.call(
                    "PUT",
                    f"/v1/tokens/{token['id']}/callbacks/{kind}",
                    {"url": f"http://127.0.0.1:{self.listen_port}/"},
                )
                assert changed.status == 200
        listening = self.shell.start(line.replace("--port 9000", f"--port {self.listen_port}"))
        listening.wait_to_say("listening on")
        return listening

    def paste(self, section: str) -> list[str]:
        """Every block of a section, and what each printed."""
        return [self.shell.run(block) for block in README.in_section(section, "sh")]


def end(making: Background) -> int:
    """Ctrl-C at a terminal goes to the server, which `make run` puts in the foreground; here there
    is no terminal.
    """
    (server,) = psutil.Process(making.process.pid).children()
    server.terminate()
    return making.process.wait(40)


@pytest.fixture
def newcomer(tmp_path: pathlib.Path) -> Iterator[Newcomer]:
    made = Newcomer(tmp_path)
    with made.shell:
        yield made


def test_a_newcomer_gets_from_the_clone_to_a_fresh_start(newcomer: Newcomer) -> None:
    """Everything about the embedded mode, in the order of the page."""
    shown_start, shown_webhook = README.in_section("Start", "text")

    making = newcomer.start()
    assert fits(shown_start.replace("127.0.0.1:8080", f"127.0.0.1:{newcomer.port}"), making.said), (
        making.said
    )
    quickstart = json.loads((newcomer.shell.folder / "var/quickstart").read_text())
    listen, curl = re.findall(
        r"^(?:\.venv/bin/ringback listen|curl) .*$", making.said, re.MULTILINE
    )
    (link,) = re.findall(r"^http://.*$", making.said, re.MULTILINE)
    with urllib.request.urlopen(link, timeout=10) as page:
        assert "You are the first administrator." in page.read().decode()
    listening = newcomer.listen_where_there_is_room(quickstart, listen)
    answer = newcomer.shell.run(curl)
    assert answer.endswith("\n"), "the prompt would stick to it"
    accepted = json.loads(answer)
    expected = shown_webhook.replace(":9000", f":{newcomer.listen_port}")
    # It comes in pieces; and after a retry, when the dispatcher had not heard of the other port
    # yet.
    wait_for("what the page shows", lambda: fits(expected, listening.said), 30)
    assert f"verified {accepted['id']}\n" in listening.said

    _, *emitted = newcomer.paste("Publish more")[0].splitlines()
    assert emitted[0].startswith("20 events accepted in")
    wait_for("all to be verified", lambda: listening.said.count("verified evt_") == 22)

    crm, own = newcomer.paste("Your own receiver")
    assert "signing secret  whsec_" in crm
    assert "accepted" in own
    wait_for(
        "the failed attempt to be recorded",
        lambda: "connect" in newcomer.shell.run(README.in_section(LOOKING, "sh")[0]),
    )
    table, detail, retried = newcomer.paste(LOOKING)
    assert re.search(r"dlv_\S+ +\S+ +message.received +pending +(connect|dns) ", table)
    attempt = json.loads(detail)["attempts"][0]
    assert attempt["error"]
    assert "is retried, as att_" in retried

    assert end(making) == 0
    newcomer.paste("Files, stopping, and resetting")
    afresh = newcomer.start()
    assert quickstart["token"] not in afresh.said
    assert end(afresh) == 0


LOOKING = "What was delivered, and why not"


def _make_repository(folder: pathlib.Path) -> None:
    """The working tree as a repository that can be cloned."""
    shutil.copytree(ROOT, folder, ignore=_NOT_COPIED)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The working tree"]):
        subprocess.run([*git, *command], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def delivered(tmp_path: pathlib.Path) -> Iterator[tuple[str, Received]]:
    """A webhook that was really sent, during a rotation, so that it carries two signatures; and the
    newer secret.
    """
    ringback = Ringback()
    try:
        with Receiver() as receiver:
            token = ringback.token("crm", callbacks={"message.received": receiver.url("/ok/crm")})
            made = json.loads(ringback.run("token", "rotate-signing-secret", token["id"], "--json"))

            def signed_twice() -> list[Received]:
                """The new secret is in force within a second."""
                ringback.publisher.publish(sample_event(EventType.MESSAGE_RECEIVED))
                return [
                    one
                    for one in receiver.requests("/ok/crm")
                    if " " in one.headers["webhook-signature"]
                ]

            yield made["signing_secret"], wait_for("a webhook with two signatures", signed_twice)[0]
    finally:
        ringback.close()


@pytest.mark.parametrize("number", [0, 1])
def test_the_python_functions_verify_what_was_delivered_and_nothing_else(
    delivered: tuple[str, Received], number: int
) -> None:
    """A supplier's first hour is spent here."""
    secret, received = delivered
    names: dict[str, object] = {}
    exec(README.in_section(VERIFYING, "python")[number], names)
    verify = names["verify"]
    assert callable(verify)

    assert verify(secret, received.headers, received.body) == json.loads(received.body)
    with pytest.raises(Exception, match=r"(?i)signature"):
        verify(secret, received.headers, received.body + b" ")
    with pytest.raises(Exception, match=r"(?i)old|timestamp|signature"):
        verify(secret, received.headers | {"webhook-timestamp": "1700000000"}, received.body)


def test_the_node_function_verifies_what_was_delivered_and_nothing_else(
    delivered: tuple[str, Received], tmp_path: pathlib.Path
) -> None:
    """The same, in the other language that suppliers write."""
    secret, received = delivered
    script = tmp_path / "verify.js"
    asked = "const [secret, headers, body] = JSON.parse(process.argv[2]); console.log(verify(secret, headers, Buffer.from(body)).id);"
    script.write_text(README.only(VERIFYING, "js") + asked)

    def verify(body: str) -> subprocess.CompletedProcess[str]:
        argument = json.dumps([secret, received.headers, body])
        return subprocess.run(
            [node(), script, argument], capture_output=True, text=True, timeout=30, check=False
        )

    assert verify(received.body.decode()).stdout.strip() == received.headers["webhook-id"]
    assert "the signature does not fit" in verify(received.body.decode() + " ").stderr


def test_the_samples_are_those_that_emit_publishes() -> None:
    """Suppliers write their code after these: every documented field, with the values that come."""
    shown = [json.loads(text) for text in README.in_section(SAMPLES, "json")]

    assert [one["type"] for one in shown] == list(EventType)
    for one in shown:
        envelope = {"id": one["id"], "schema_version": "1"}
        assert one == envelope | sample_event(EventType(one["type"]))
        assert list(one) == ["id", "type", "schema_version", "timestamp", "data"]


def test_the_way_to_rabbitmq_and_postgresql_can_be_pasted(
    tmp_path: pathlib.Path, rabbit: Rabbit, postgres: Postgres
) -> None:
    """The private nodes stand in for Debian's services: other names and ports, the same commands."""
    services, settings, api, *dispatchers, publishing = README.in_section(SERVICES, "sh")
    arrives = README.only(SERVICES, "text")
    port, listen, metrics = free_port(), free_port(), [free_port(), free_port()]
    with Shell(
        tmp_path / "ringback",
        _swaps(rabbit, postgres),
        **_services(tmp_path / "bin", rabbit, postgres),
    ) as shell:
        shell.env |= {
            "RINGBACK_LISTEN": f"127.0.0.1:{port}",
            "RINGBACK_METRICS_LISTEN": f"127.0.0.1:{metrics[0]}",
        }
        shell.swaps |= {
            "127.0.0.1:9465": f"127.0.0.1:{metrics[1]}",
            "127.0.0.1:9000/": f"127.0.0.1:{listen}/",
            "--port 9000": f"--port {listen}",
        }
        shell.swaps |= {
            '"$SECRET" &': '"$SECRET" >said 2>&1 </dev/null &\necho $! >receiver'
        }  # at a terminal it goes on behind the prompt
        shell.run(services)
        checked = shell.run(settings)
        assert "FAIL: " not in checked
        assert stat.S_IMODE((shell.folder / "ringback.env").stat().st_mode) == 0o600
        running = [shell.start(script) for script in (api, *dispatchers)]
        for one in (port, *metrics):
            wait_for("it to be ready", lambda one=one: _ready(one), 30)
        assert "accepted" in shell.run(publishing)
        wait_for(
            "what the page shows", lambda: fits(arrives, (shell.folder / "said").read_text()), 30
        )
        shell.run("kill $(cat receiver)")
        assert [one.end() for one in running] == [0, 0, 0]


@pytest.mark.parametrize("user", [0, 1000])
def test_the_services_are_set_up_by_root_and_by_a_user(tmp_path: pathlib.Path, user: int) -> None:
    """In a container there is no sudo, and no one who would need it."""
    services = README.in_section(SERVICES, "sh")[0]
    folder, done = tmp_path / "bin", tmp_path / "done"
    note = f'echo "$(basename $0) $*" >>{done}'
    steps = dict.fromkeys(("apt-get", "service", "rabbitmqctl", "runuser"), note)
    programs = steps | {
        "id": f"echo {user}",
        "sudo": 'echo "sudo: not found"; exit 127' if user == 0 else 'exec "$@"',
    }
    _lay(folder, programs)
    with Shell(tmp_path / "ringback", {}, PATH=f"{folder}:/usr/bin:/bin") as shell:
        shell.run(services)

    assert [line.split()[0] for line in done.read_text().splitlines() if not line.startswith("-c")] == [
        "apt-get", "service", "service", "runuser", "rabbitmqctl", "rabbitmqctl",
    ]  # fmt: skip


def _lay(folder: pathlib.Path, programs: dict[str, str]) -> None:
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def _ready(port: int) -> bool:
    with Client(port, None) as client:
        return client.call("GET", "/readyz").status == 200


def _swaps(rabbit: Rabbit, postgres: Postgres) -> dict[str, str]:
    """The node's own superuser is called ringback already."""
    return {
        "ROLE ringback": "ROLE newcomer",
        "DATABASE ringback OWNER ringback": "DATABASE newcomer OWNER newcomer",
        "//ringback:change-me@127.0.0.1:5432/ringback": f"//newcomer:change-me@127.0.0.1:{postgres.port}/newcomer",
        "127.0.0.1:5672": f"127.0.0.1:{rabbit.port}",
    }


def _services(folder: pathlib.Path, rabbit: Rabbit, postgres: Postgres) -> dict[str, str]:
    """An environment in which `sudo`, `psql` and `rabbitmqctl` work on the private nodes; what is
    installed stays as it is.
    """
    url = make_url(postgres.url)
    control = " ".join(
        f"{name}={value!r}"
        for name, value in rabbit._env.items()
        if name.startswith(("RABBITMQ", "ERL", "HOME"))
    )
    programs = {
        "sudo": 'exec "$@"',
        "runuser": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        "apt-get": "exit 0",
        "service": "exit 0",
        "rabbitmqctl": f'exec env {control} /usr/lib/rabbitmq/bin/rabbitmqctl "$@"',
    }
    _lay(folder, programs)
    account = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": str(url.username),
        "PGPASSWORD": str(url.password),
    }
    return account | {"PGDATABASE": "postgres", "PATH": f"{folder}:/usr/bin:/bin"}
