"""The program of docs/receivers.md that pulls, run as it is printed."""

import contextlib
import pathlib

from schemas.events.samples import sample_event
from schemas.events.types import EventType
from tests.docs.pages import read
from tests.docs.shell import Shell
from tests.kit.client import Client
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for


def test_a_receiver_pulls_what_it_missed(tmp_path: pathlib.Path) -> None:
    """Also over a restart of its program: it goes on where it was."""
    with contextlib.closing(Ringback()) as ringback:
        token = ringback.token("crm", "conversations:read")["token"]
        env = {"RINGBACK_TOKEN": token, "RINGBACK_URL": f"http://127.0.0.1:{ringback.port}"}
        with Shell(tmp_path / "x", {}, **env) as shell, Client(ringback.port, token) as client:
            shell.write("pull.py", read("docs/receivers.md").only("Pull what you missed", "python"))
            place = shell.folder / "cursor"
            for kind in ("message.received", "conversation.created"):
                event_id = ringback.publisher.publish(sample_event(EventType(kind)))
                running = shell.start(".venv/bin/python pull.py")
                assert running.wait_to_say(f"pulled {kind} {event_id}").count("pulled") == 1
                wait_for(
                    "its place to be kept",
                    lambda: client.get(f"/v1/me/events?cursor={place.read_text()}")["data"] == [],
                )
                running.kill()
