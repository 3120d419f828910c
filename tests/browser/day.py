"""An administrator at the pages: what they click and type, found as people find it, by label."""

import re
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Locator, Page, expect

from tests.kit.browser import Window, window
from tests.kit.client import Client
from tests.kit.platform import message
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback

PATIENCE_MS = 30_000
"""Milliseconds until something must be seen. A machine that does other work, too, needs them."""

EMAIL, PASSWORD = "ann@example.com", "correct horse battery"
TOKEN, CALLBACK = "ACME CRM", "New Message"
_SWITCH = "crm"
_PATH = f"/switch/{_SWITCH}/hook"


@dataclass
class Day:
    """One installation, its receiver, and the window of the administrator."""

    ringback: Ringback
    receiver: Receiver
    window: Window
    secrets: list[str] = field(default_factory=list)
    """Secrets that pages showed, oldest first."""
    _published: int = 0

    @classmethod
    def begins(cls, ringback: Ringback, receiver: Receiver, browser: Browser) -> "Day":
        opened = window(browser, f"http://127.0.0.1:{ringback.port}")
        opened.page.set_default_timeout(PATIENCE_MS)
        opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        return cls(ringback, receiver, opened)

    @property
    def page(self) -> Page:
        return self.window.page

    @property
    def address(self) -> str:
        """Where the receiver listens."""
        return self.receiver.url(_PATH)

    def received(self, count: int) -> None:
        """Wait until so many webhooks came in all."""
        self.receiver.wait_for(_PATH, count, PATIENCE_MS / 1000)

    def break_receiver(self) -> None:
        self.receiver.switch(_SWITCH, 500)

    def mend_receiver(self) -> None:
        self.receiver.switch(_SWITCH, 200)

    def publish(self, count: int = 1) -> None:
        """As a chat backend does, with the token that was copied last."""
        with Client(self.ringback.port, self.secrets[-1]) as client:
            for _ in range(count):
                self._published += 1
                client.publish(message(self._published))

    def go(self, name: str) -> None:
        """Choose a page in the menu."""
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
        self.sees_heading("API access tokens" if name == "Tokens" else name)

    def go_to_token(self, tab: str) -> None:
        """Choose the token, and one of its tabs."""
        self.go("Tokens")
        self.page.get_by_role("row").get_by_role("link", name=TOKEN, exact=True).click()
        self.page.get_by_role("navigation", name="This token").get_by_role("link", name=tab).click()

    def sees(self, text: str | re.Pattern[str], within: Locator | None = None) -> None:
        found = (within or self.page.get_by_role("main")).get_by_text(text).first
        expect(found).to_be_visible(timeout=PATIENCE_MS)

    def sees_heading(self, name: str | re.Pattern[str]) -> None:
        found = self.page.get_by_role("heading", name=name, level=1)
        expect(found).to_be_visible(timeout=PATIENCE_MS)

    def press(self, name: str, within: Locator | None = None) -> None:
        """Press a button, also one that is a link."""
        (within or self.page.get_by_role("main")).get_by_role("button", name=name).click()

    def copied(self, region: str) -> str:
        """Press the button that copies a secret, and return what is on the clipboard."""
        shown = self.page.get_by_role("region", name=region)
        shown.get_by_role("button", name="Copy").click()
        expect(shown.get_by_role("button", name="Copied")).to_be_visible(timeout=PATIENCE_MS)
        text = self.page.evaluate("navigator.clipboard.readText()")
        self.secrets.append(text)
        return str(text)

    def row(self, *texts: str | re.Pattern[str]) -> Locator:
        """The newest row of a table with all of these texts, without tests."""
        found = self.page.get_by_role("row")
        for text in (TOKEN, *texts):
            found = found.filter(has_text=text)
        return found.filter(has_not_text="Test").first

    def waits_for_row(self, *texts: str | re.Pattern[str]) -> Locator:
        """See a row appear while the page is only looked at."""
        found = self.row(*texts)
        expect(found).to_be_visible(timeout=PATIENCE_MS)
        return found
