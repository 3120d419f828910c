"""A secret key is replaced while everything runs: the steps of the operations page, on a whole
Ringback.
"""

import re
from pathlib import Path

import pytest

from tests.flows.conftest import Starting
from tests.kit.command import Place
from tests.kit.platform import MESSAGE, message, verify_all, wait_for_all
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback

NEW = "another-secret-key-for-tests-0123456789"
LOST = "a-secret-key-that-was-lost-0123456789"


def restart(ringback: Ringback, secret_key: str) -> None:
    """All processes, one after the other, with these keys."""
    ringback.env["RINGBACK_SECRET_KEY"] = secret_key
    for name in list(ringback.processes):
        assert ringback.stop(name) == 0
        ringback.start(name)


def test_the_old_key_can_be_dropped_after_it(start: Starting, receiver: Receiver) -> None:
    """Webhooks are signed as before, with the headers that they had: receivers notice nothing."""
    ringback = start()
    old = ringback.env["RINGBACK_SECRET_KEY"]
    crm = ringback.token("crm", callbacks={MESSAGE: receiver.url("/ok/crm")})
    headers = {"url": receiver.url("/ok/crm"), "headers": {"X-Key": "v"}}
    ringback.admin.send("PUT", f"/v1/tokens/{crm['id']}/callbacks/{MESSAGE}", headers)

    restart(ringback, f"{old},{NEW}")
    made_meanwhile = ringback.token("erp", callbacks={MESSAGE: receiver.url("/ok/erp")})
    said = ringback.run("rekey")
    restart(ringback, NEW)
    event_id = ringback.publisher.publish(message())

    assert re.search(r"^re-encrypted +3$", said, re.MULTILINE), (
        "the secrets of the administrator's token and of crm, crm's headers"
    )
    assert re.search(r"^right already +2$", said, re.MULTILINE), "what was made with the new key"
    for token, path in ((crm, "/ok/crm"), (made_meanwhile, "/ok/erp")):
        wait_for_all(receiver, path, [event_id])
        verify_all(receiver, path, token["signing_secret"])
        assert ringback.admin.get(f"/v1/tokens/{token['id']}/signing-secret") == {
            "signing_secret": token["signing_secret"]
        }
    assert receiver.requests("/ok/crm")[0].headers["x-key"] == "v"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A migrated database, whose key is kept next to it."""
    made = Place(tmp_path)
    assert made.call("migrate").status == 0
    return made


def create(place: Place) -> str:
    token_id: str = place.call("token", "create", "x", "--json").json["id"]
    return token_id


def test_what_cannot_be_read_is_named_and_everything_else_is_done(place: Place) -> None:
    """Exit status 1: dropping the old key now would lose something."""
    place.set(SECRET_KEY=LOST)
    lost = create(place)
    place.set(SECRET_KEY="the-old-key-0123456789")
    create(place)
    place.set(SECRET_KEY=f"the-old-key-0123456789,{NEW}")

    done, again = place.call("rekey"), place.call("rekey", "--json")

    assert (done.status, again.status) == (1, 1)
    assert f"ringback: the secrets of {lost} cannot be read" in done.err
    assert done.err.count("\n") == 1
    assert again.json == {"re_encrypted": 0, "right_already": 1, "unreadable": [lost]}


def test_the_key_that_is_kept_in_a_file_is_replaced_there(place: Place) -> None:
    """Embedded mode has no setting to change: the file takes several keys as the setting does."""
    token_id = create(place)
    path = place.folder / "var" / "secret-key"

    path.write_text(f"{path.read_text()},{NEW}\n")
    done = place.call("rekey", "--json")
    path.write_text(NEW)

    assert done.json == {"re_encrypted": 1, "right_already": 0, "unreadable": []}
    assert "unreadable" not in place.call("token", "show", token_id).out
