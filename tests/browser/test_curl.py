"""The command that sends a webhook again, from the button that copies it to a shell."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from schemas.people import Role
from tests.browser.scene import PASSWORD, add_people
from tests.kit.browser import ELSEWHERE, window
from tests.kit.command import PROGRAM, Place
from tests.kit.platform import MESSAGE, message, wait_for_state
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

TEXTS = {
    "quotes": """It's "so" $(touch here) `touch here` \\ %s 👋""",
    "signs that a terminal obeys": "\u202e\u0007\u001b[31m",
    "what is too much for a command": "too long " * 3000,
}


@dataclass
class Receiving:
    """A Ringback that calls `ringback listen`, and what that has printed so far."""

    ringback: Ringback
    said: Path

    def wait_for_verified(self, event_id: str, times: int) -> None:
        """Wait until so many webhooks of an event verified."""
        wait_for(
            f"{event_id} to verify {times} times",
            lambda: self.said.read_text().count(f"verified {event_id}\n") == times,
            30,
        )


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    folder = tmp_path_factory.mktemp("listen")
    ringback, said = Ringback(), folder / "said"
    add_people(ringback)
    token = ringback.token("ACME CRM")
    with said.open("wb") as out:
        listen = subprocess.Popen(
            [PROGRAM, "listen", "--port", "0", "--secret", token["signing_secret"]],
            env=Place(folder).env,
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    found = wait_for("it to listen", lambda: re.search(r"http://\S+:\d+", said.read_text()), 30)
    assert found
    path = f"/v1/tokens/{token['id']}/callbacks/{MESSAGE}"
    ringback.admin.send("PUT", path, {"url": f"{found[0]}/hook?a=1&b='2'"})
    ringback.wait_until_in_force()
    yield Receiving(ringback, said)
    listen.terminate()
    listen.wait(30)
    ringback.close()


@pytest.mark.parametrize("host", ["127.0.0.1", ELSEWHERE])
@pytest.mark.parametrize("what", TEXTS)
def test_the_command_that_is_copied_sends_a_webhook_that_verifies(
    receiving: Receiving, browser: Browser, tmp_path: Path, host: str, what: str
) -> None:
    """Also by plain http under another name, where browsers offer pages no clipboard."""
    event = message(what)
    event["data"]["message"]["content"]["text"] = TEXTS[what]
    event_id = receiving.ringback.publisher.publish(event)
    delivery = wait_for_state(receiving.ringback.admin, event_id, "delivered", 30)

    seen = window(browser, f"http://{host}:{receiving.ringback.port}")
    seen.sign_in(f"{Role.ADMIN}@example.com", PASSWORD)
    seen.open(f"/deliveries/{delivery['id']}")
    seen.page.get_by_role("button", name="Show as a command").click()
    if (file := seen.page.get_by_role("link", name="Download")).count():
        with seen.page.expect_download() as download:
            file.click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    seen.page.get_by_role("button", name="Copy", exact=True).click()
    expect(seen.page.get_by_role("button", name="Copied")).to_be_visible()
    command = pasted(seen.page.context.new_page())
    seen.page.context.close()
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=30)

    receiving.wait_for_verified(event_id, 2)
    assert not (tmp_path / "here").exists()
    assert seen.complaints == []


def pasted(page: Page) -> str:
    """What Ctrl+V puts in."""
    page.set_content("<textarea></textarea>")
    page.locator("textarea").focus()
    page.keyboard.press("Control+V")
    return page.locator("textarea").input_value()
