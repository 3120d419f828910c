"""The commands and programs of the pages in docs/, run as they are printed, against a Ringback that is there."""

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from schemas.event_types import EventType
from schemas.permissions import Permission
from schemas.samples import sample_event
from schemas.secrets import new_signing_secret, new_token, signing_secret_text
from schemas.tokens import CallbackState, TokenState
from tests.docs.pages import PAGES, ROOT, code, read
from tests.docs.shell import Shell, node
from tests.kit.client import Client
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import free_port, wait_for

RECEIVERS, BACKENDS, OPERATIONS = read("docs/receivers.md"), read("docs/backends.md"), read("docs/operations.md")
RECOVERING, ADMINISTRATORS = read("docs/recovering.md"), read("docs/administrators.md")
RUN = {
    "receivers.md": {
        "Verify a signature",
        "Why did a call fail?",
        "Pull what you missed",
        "A receiver in Python",
        "A receiver in Node.js",
    },
    "backends.md": {"By HTTP", "Many at once", "Onto the exchange", "Dead letters"},
    "recovering.md": {"One, now", "Many", "Dead letters"},
    "administrators.md": {
        "Your own token",
        "A token for a supplier",
        "What it may do",
        "What it may see",
        "Dates",
        "Callbacks",
        "Suspending and revoking",
        "Replacing a token",
        "Signing secrets",
        "The request log",
        "Who changed what: the operation log",
        "Everything to Excel",
    },
    "operations.md": {
        "Processes",
        "Health",
        "Alerts",
        "Export to Excel",
        "Replacing the secret key",
        "Stopping and upgrading",
        "Back-up",
        "Room",
    },
    "token-format.md": {"A check in Python"},
    "gateways.md": {"A service behind nginx", "Asking from within the API"},  # by test_gateways.py
}


def test_every_section_with_something_to_run_is_run_by_a_test() -> None:
    """A new section must not slip through."""
    for path in PAGES:
        if path.name != "README.md" or path.parent != ROOT:
            page = read(str(path.relative_to(ROOT)))
            assert page.runnable_sections() == RUN.get(path.name, set())


@pytest.fixture
def embedded() -> Iterator[Ringback]:
    made = Ringback()
    yield made
    made.close()


@pytest.fixture
def on_services(rabbit: Rabbit, postgres: Postgres) -> Iterator[Ringback]:
    made = Ringback(rabbit.url, postgres.fresh_database())
    yield made
    made.close()


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_receiver_takes_what_is_genuine_once_and_nothing_else(embedded: Ringback, tmp_path: pathlib.Path, language: str) -> None:
    """Suppliers begin by copying it."""
    program = tmp_path / "receiver"
    program.write_text(RECEIVERS.only("A receiver in Python" if language == "python" else "A receiver in Node.js", language))
    port = free_port()
    token = embedded.token("crm", "conversations:read", callbacks={"message.received": f"http://127.0.0.1:{port}/"})
    env = os.environ | {"SIGNING_SECRET": token["signing_secret"], "PORT": str(port)}
    interpreter = sys.executable if language == "python" else node()
    said = tmp_path / "said"
    with said.open("w") as out, subprocess.Popen([interpreter, program], cwd=tmp_path, env=env, stdout=out, stderr=out) as running:
        try:
            wait_for("it to listen", lambda: _post(port, b"{}") == 401)

            event_id = embedded.publisher.publish(sample_event(EventType.MESSAGE_RECEIVED))

            delivery = wait_for("it to be delivered", lambda: _delivered(embedded, event_id))
            embedded.admin.call("POST", f"/v1/deliveries/{delivery['id']}/retry")
            again = f"/v1/deliveries/{delivery['id']}"
            wait_for("the second delivery", lambda: [a["status_code"] for a in embedded.admin.get(again)["attempts"]] == [204, 204])
            assert said.read_text().count("got message.received") == 1
        finally:
            running.kill()


def _post(port: int, body: bytes) -> int:
    with Client(port, None) as client:
        return client.call("POST", "/", body).status


def _delivered(ringback: Ringback, event_id: str) -> dict[str, str] | None:
    found = ringback.admin.call("GET", f"/v1/events/{event_id}")
    deliveries = found.data["deliveries"] if found.status == 200 else []
    return next((one for one in deliveries if one["state"] == "delivered"), None)


def test_a_receiver_can_ask_about_its_token(embedded: Ringback, tmp_path: pathlib.Path) -> None:
    """The first question when nothing works."""
    token = embedded.token("crm")
    about_token, about_deliveries = RECEIVERS.in_section("Why did a call fail?", "sh")
    env = {"RINGBACK_TOKEN": token["token"], "RINGBACK_URL": f"http://127.0.0.1:{embedded.port}"}
    with Shell(tmp_path / "x", {}, **env) as shell:
        assert json.loads(shell.run(about_token))["state"] == "active"
        assert json.loads(shell.run(about_deliveries)) == {"data": [], "next_cursor": None, "looked_until": None}


def test_what_a_backend_publishes_arrives(on_services: Ringback, rabbit: Rabbit, tmp_path: pathlib.Path) -> None:
    """By curl, by Python, in a batch, and straight onto the exchange."""
    token = on_services.client("events:publish").token
    by_python, by_amqp = BACKENDS.only("By HTTP", "python"), BACKENDS.only("Onto the exchange", "python")
    urls = {"RINGBACK_URL": f"http://127.0.0.1:{on_services.port}", "RINGBACK_BROKER_URL": rabbit.url}
    with Receiver() as receiver, Shell(tmp_path / "x", _swaps(on_services), RINGBACK_TOKEN=str(token), **urls) as shell:
        on_services.token("crm", callbacks={kind: receiver.url("/ok/crm") for kind in EventType})

        single = shell.run(BACKENDS.only("By HTTP", "sh"))
        batch = shell.run(BACKENDS.only("Many at once", "sh"))
        python = _run_python(shell, by_python)
        _run_python(shell, by_amqp)
        _run_python(shell, by_amqp.replace("message.received", "message.read"))

        assert json.loads(single) == {"id": "crm7_message_1001", "status": "accepted"}
        assert json.loads(batch) == {"ids": ["crm7_status_1", "crm7_status_2"]}
        assert python == "crm7_conversation_2\n"
        received = receiver.wait_for("/ok/crm", 5)
        wanted = {"crm7_message_1001", "crm7_message_1002", "crm7_conversation_2", "crm7_status_1", "crm7_status_2"}
        assert {one.headers["webhook-id"] for one in received} == wanted
        look = BACKENDS.only("Dead letters", "python")
        shown = wait_for("the dead letter", lambda: _run_python(shell, look))
        assert "the type is one of" in shown
        assert _run_python(shell, look) == shown


def _run_python(shell: Shell, program: str) -> str:
    shell.write("program.py", program)
    return shell.run(".venv/bin/python program.py")


def test_operations_can_look_stop_and_back_up_embedded(embedded: Ringback, tmp_path: pathlib.Path) -> None:
    """Copied from the page into a runbook, so it has to work."""
    folder = tmp_path / "x"
    with Shell(folder, _swaps(embedded), **{k: v for k, v in embedded.env.items() if k.startswith("RINGBACK_")}) as shell:
        (folder / "var").symlink_to(embedded.dir)
        (embedded.dir / "secret-key").write_text("kept beside the database in embedded mode")
        shell.run(OPERATIONS.only("Processes", "sh"))

        health, _ = OPERATIONS.in_section("Health", "sh")
        looked = shell.run(health)
        assert looked.startswith('{"status":"alive"}{"status":"ready"}')
        assert 'ringback_events_accepted_total{type="message.received"}' in looked
        assert "tokens.xlsx: tokens 1" in shell.run(OPERATIONS.only("Export to Excel", "sh"))
        assert "up to date" in shell.run(OPERATIONS.only("Stopping and upgrading", "sh"))
        shell.run(OPERATIONS.in_section("Back-up", "sh")[0])
        shell.run(OPERATIONS.in_section("Room", "sh")[1])

        restored = {"RINGBACK_DATABASE_URL": f"sqlite:///{folder}/ringback-backup.db"}
        listed = subprocess.run(
            [".venv/bin/ringback", "token", "list"], cwd=folder, env=shell.env | restored, capture_output=True, text=True, check=True
        )
        assert "active" in listed.stdout


def test_the_secret_key_of_embedded_mode_is_replaced(tmp_path: pathlib.Path) -> None:
    """As the page says it, and with the old one gone everything can be read."""
    add, rekey, drop = OPERATIONS.in_section("Replacing the secret key", "sh")
    with Shell(tmp_path / "x", {}) as shell:
        shell.run(".venv/bin/ringback migrate && .venv/bin/ringback token create crm")
        kept = shell.folder / "var" / "secret-key"
        first = kept.read_text()

        shell.run(add)
        said = shell.run(rekey)
        shell.run(drop)

        assert "re-encrypted   1" in said
        assert first not in kept.read_text()
        assert kept.stat().st_mode & 0o777 == (shell.folder / "var" / "secret-key.old").stat().st_mode & 0o777 == 0o600
        assert "unreadable" not in shell.run(".venv/bin/ringback token list")


def test_tokens_are_told_from_other_text_as_the_page_says() -> None:
    """Secret scanners are set up from it."""
    page = read("docs/token-format.md")
    names: dict[str, Any] = {}
    exec(page.only("A check in Python", "python"), names)
    (example,) = re.findall(r"`(rbk_\w{36})`", (ROOT / "docs/token-format.md").read_text())

    for token in (example, *(new_token() for _ in range(200))):
        text = f"curl -H 'Authorization: Bearer {token}'\nTOKEN={token};"
        assert names["tokens_in"](text) == [token, token]
        assert names["tokens_in"](text.replace(token, token[:-1] + ("0" if token[-1] != "0" else "1"))) == []
        assert names["tokens_in"](f"x{token}") == names["tokens_in"](f"{token}x") == []
    for secret in (new_signing_secret(), "whsec_" + "A" * 32, signing_secret_text(b"\xff" * 64)):
        assert re.findall(names["SIGNING_SECRET"], f"secret={secret}, ") == [secret]


def test_operations_can_look_and_back_up_on_services(on_services: Ringback, tmp_path: pathlib.Path) -> None:
    """A dispatcher answers for itself, and PostgreSQL is dumped with its own tool."""
    url = make_url(on_services.env["RINGBACK_DATABASE_URL"])
    swaps = {
        "127.0.0.1:9464": f"127.0.0.1:{on_services.ports['dispatch-0']}",
        "//ringback:change-me@127.0.0.1:5432/ringback": f"//{url.username}:{url.password}@127.0.0.1:{url.port}/{url.database}",
    }
    with Shell(tmp_path / "x", swaps) as shell:
        assert shell.run(OPERATIONS.in_section("Health", "sh")[1]) == '{"status":"ready"}'
        shell.run(OPERATIONS.in_section("Back-up", "sh")[1])
        assert (shell.folder / "ringback.dump").read_bytes().startswith(b"PGDMP")
        assert shell.run(OPERATIONS.in_section("Room", "sh")[0]).split() == ["ALTER", "TABLE"] * 4


def test_what_did_not_arrive_is_sent_once_more(tmp_path: pathlib.Path) -> None:
    """By hand, by a recovery at the command line and over HTTP; and dead letters are listed."""
    ringback = Ringback(RETRY_SCHEDULE="100ms")
    env = {name: value for name, value in ringback.env.items() if name.startswith("RINGBACK_")} | {"RINGBACK_TOKEN": ringback.admin.token}
    with Receiver() as receiver, Shell(tmp_path / "x", _swaps(ringback), **env) as shell:
        ringback.token("crm", callbacks={"message.received": receiver.url("/status/500/crm")})
        event_id = ringback.publisher.publish(sample_event(EventType.MESSAGE_RECEIVED))
        exhausted = "/v1/deliveries?state=exhausted"
        wait_for("it to be given up", lambda: ringback.admin.get(exhausted)["data"])

        assert f"_{event_id} is tried again, as att_" in shell.run(RECOVERING.only("One, now", "sh"))
        receiver.wait_for("/status/500/crm", 3)
        by_command, by_http = RECOVERING.in_section("Many", "sh")
        assert "1 made due again" in shell.run(by_command)
        assert json.loads(shell.run(by_http))["state"] == "running"
        assert "REASON" in shell.run(RECOVERING.only("Dead letters", "sh"))
    ringback.close()


def test_administrators_can_paste_all_of_their_page_in_its_order(embedded: Ringback, tmp_path: pathlib.Path) -> None:
    """Its commands build on each other, as the work of a day does."""
    env = {name: value for name, value in embedded.env.items() if name.startswith("RINGBACK_")}
    with Shell(tmp_path / "x", _swaps(embedded), **env) as shell:

        def paste(section: str) -> list[str]:
            return [shell.run(block) for block in ADMINISTRATORS.in_section(section, "sh")]

        paste("Your own token")
        made, _, looked = paste("A token for a supplier")
        assert json.loads(made)["signing_secret"].startswith("whsec_")
        token = json.loads(looked[looked.index("{") :])
        assert (token["name"], token["state"]) == ("Globex CRM", "active")
        assert json.loads(paste("What it may do")[0])["permissions"] == ["conversations:read", "stats:read"]
        assert json.loads(paste("What it may see")[0])["visibility"] == {"channels": ["chn_sales", "chn_support"]}
        assert json.loads(paste("Dates")[0])["expires_at"] is None
        put, switched, deleted = paste("Callbacks")
        assert json.loads(put)["header_names"] == ["X-Api-Key"]
        assert '"state":"off"' in switched
        assert switched.endswith('"header_names":["X-Api-Key"]}')
        assert deleted == ""
        assert paste("Suspending and revoking")[0].splitlines() == [f"{token['id']} is suspended", f"{token['id']} is active"]
        assert json.loads(paste("Replacing a token")[0])["token"].startswith("rbk_")
        shown, rotated = paste("Signing secrets")
        assert json.loads(shown)["signing_secret"] != json.loads(rotated)["signing_secret"]
        logged, _ = paste("The request log")
        assert json.loads(logged) == {"data": [], "next_cursor": None, "looked_until": None}  # nobody used that token
        assert [change["action"] for change in json.loads(paste("Who changed what: the operation log")[0])["data"]][:2] == [
            "signing_secret_rotated",
            "signing_secret_shown",
        ]
        assert "tokens.xlsx: tokens " in paste("Everything to Excel")[0]
        assert all((tmp_path / "x" / name).read_bytes().startswith(b"PK") for name in ("requests.xlsx", "tokens.xlsx"))


def test_administrators_find_every_permission_and_state_explained() -> None:
    """With the labels that they know."""
    permissions = {code(name)[0]: label for name, label, _ in ADMINISTRATORS.table("What it may do")}

    assert permissions == {permission.value: permission.label for permission in Permission}
    assert [code(state)[0] for state, *_ in ADMINISTRATORS.table("States")] == list(TokenState)
    assert [code(state)[0] for state, *_ in ADMINISTRATORS.table("Callbacks")] == list(CallbackState)


def _swaps(ringback: Ringback) -> dict[str, str]:
    return {"127.0.0.1:8080": f"127.0.0.1:{ringback.port}"}
