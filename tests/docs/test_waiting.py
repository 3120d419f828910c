"""The programs of the pages that ask Ringback for something, when it, or a proxy before it, asks
them to come again.
"""

import pathlib
from collections.abc import Iterator

import pytest

from tests.docs.pages import read
from tests.docs.shell import Shell
from tests.kit.stand_in import StandIn


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_backend_loses_no_event_to_an_answer_that_passes(
    api: StandIn, tmp_path: pathlib.Path, status: int
) -> None:
    """A 429 is not the end: with a limit, events would be lost by our own advice."""
    api.said, api.answer = (
        {"id": "crm7_conversation_2"},
        lambda before: status if before == 0 else 202,
    )
    with Shell(tmp_path / "x", {}, RINGBACK_TOKEN="rbk_x", RINGBACK_URL=api.url) as shell:
        shell.write("publish.py", read("docs/backends.md").only("By HTTP", "python"))

        assert shell.run(".venv/bin/python publish.py") == "crm7_conversation_2\n"
    assert [event["id"] for event in api.events] == ["crm7_conversation_2"] * 2


def test_who_pulls_goes_on_after_an_answer_that_passes(
    api: StandIn, tmp_path: pathlib.Path
) -> None:
    """A program that ends in the night pulls nothing until someone looks."""
    api.said = {
        "data": [{"type": "message.received", "id": "evt_1"}],
        "next_cursor": "c",
        "has_more": False,
    }
    api.answer = lambda before: 200 if before == 2 else 429 if before == 0 else 503
    with Shell(tmp_path / "x", {}, RINGBACK_TOKEN="rbk_x", RINGBACK_URL=api.url) as shell:
        shell.write("pull.py", read("docs/receivers.md").only("Pull what you missed", "python"))
        running = shell.start(".venv/bin/python pull.py")

        running.wait_to_say("pulled message.received evt_1")
        running.kill()
    assert len(api.bodies) >= 3
