"""The commands and programs of the pages in docs/, run as they are printed, against a Ringback that
is there.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from schemas.events.samples import sample_event
from schemas.events.types import EventType
from tests.docs.pages import PAGES, ROOT, read
from tests.docs.shell import Shell, node, swaps
from tests.kit.client import Client
from tests.kit.rabbit import Rabbit
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import free_port, wait_for

RECEIVERS, BACKENDS, RECOVERING = (
    read("docs/receivers.md"),
    read("docs/backends.md"),
    read("docs/recovering.md"),
)
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
        "People",
        "Callbacks",
        "Suspending and revoking",
        "Replacing a token",
        "Signing secrets",
        "The request log",
        "Who changed what: the operation log",
        "Everything to Excel",
    },
    "operations.md": {
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


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_receiver_takes_what_is_genuine_once_and_nothing_else(
    embedded: Ringback, tmp_path: pathlib.Path, language: str
) -> None:
    """Suppliers begin by copying it."""
    program = tmp_path / "receiver"
    program.write_text(
        RECEIVERS.only(
            "A receiver in Python" if language == "python" else "A receiver in Node.js", language
        )
    )
    port = free_port()
    token = embedded.token(
        "crm", "conversations:read", callbacks={"message.received": f"http://127.0.0.1:{port}/"}
    )
    env = os.environ | {"SIGNING_SECRET": token["signing_secret"], "PORT": str(port)}
    interpreter = sys.executable if language == "python" else node()
    said = tmp_path / "said"
    with (
        said.open("w") as out,
        subprocess.Popen(
            [interpreter, program], cwd=tmp_path, env=env, stdout=out, stderr=out
        ) as running,
    ):
        try:
            wait_for("it to listen", lambda: _post(port, b"{}") == 401)

            event_id = embedded.publisher.publish(sample_event(EventType.MESSAGE_RECEIVED))

            delivery = wait_for("it to be delivered", lambda: _delivered(embedded, event_id))
            embedded.admin.call("POST", f"/v1/deliveries/{delivery['id']}/retry")
            again = f"/v1/deliveries/{delivery['id']}"
            wait_for(
                "the second delivery",
                lambda: (
                    [a["status_code"] for a in embedded.admin.get(again)["attempts"]] == [204, 204]
                ),
            )
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
        assert json.loads(shell.run(about_deliveries)) == {
            "data": [],
            "next_cursor": None,
            "looked_until": None,
        }


def test_what_a_backend_publishes_arrives(
    on_services: Ringback, rabbit: Rabbit, tmp_path: pathlib.Path
) -> None:
    """By curl, by Python, in a batch, and straight onto the exchange."""
    token = on_services.client("events:publish").token
    by_python, by_amqp = (
        BACKENDS.only("By HTTP", "python"),
        BACKENDS.only("Onto the exchange", "python"),
    )
    urls = {
        "RINGBACK_URL": f"http://127.0.0.1:{on_services.port}",
        "RINGBACK_BROKER_URL": rabbit.url,
    }
    with (
        Receiver() as receiver,
        Shell(tmp_path / "x", swaps(on_services), RINGBACK_TOKEN=str(token), **urls) as shell,
    ):
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
        wanted = {
            "crm7_message_1001",
            "crm7_message_1002",
            "crm7_conversation_2",
            "crm7_status_1",
            "crm7_status_2",
        }
        assert {one.headers["webhook-id"] for one in received} == wanted
        look = BACKENDS.only("Dead letters", "python")
        shown = wait_for("the dead letter", lambda: _run_python(shell, look))
        assert "the type is one of" in shown
        assert _run_python(shell, look) == shown


def _run_python(shell: Shell, program: str) -> str:
    shell.write("program.py", program)
    return shell.run(".venv/bin/python program.py")


def test_what_did_not_arrive_is_sent_once_more(tmp_path: pathlib.Path) -> None:
    """By hand, by a recovery at the command line and over HTTP; and dead letters are listed."""
    ringback = Ringback(RETRY_SCHEDULE="100ms")
    env = {name: value for name, value in ringback.env.items() if name.startswith("RINGBACK_")} | {
        "RINGBACK_TOKEN": ringback.admin.token
    }
    with Receiver() as receiver, Shell(tmp_path / "x", swaps(ringback), **env) as shell:
        ringback.token("crm", callbacks={"message.received": receiver.url("/status/500/crm")})
        event_id = ringback.publisher.publish(sample_event(EventType.MESSAGE_RECEIVED))
        exhausted = "/v1/deliveries?state=exhausted"
        wait_for("it to be given up", lambda: ringback.admin.get(exhausted)["data"])

        assert f"_{event_id} is retried, as att_" in shell.run(RECOVERING.only("One, now", "sh"))
        receiver.wait_for("/status/500/crm", 3)
        by_command, by_http = RECOVERING.in_section("Many", "sh")
        assert "1 made due again" in shell.run(by_command)
        assert json.loads(shell.run(by_http))["state"] == "running"
        assert "REASON" in shell.run(RECOVERING.only("Dead letters", "sh"))
    ringback.close()
