"""The pictures of the pages in `docs/images`, from a demo that was just started.

`make screenshots` takes them all again. They show the same suppliers each time, at other times and
with other ids.
"""

import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Page

from schemas.passwords import password_hash
from schemas.people import Role
from store.engine.database import Database
from store.people.people import People
from tests.kit.browser import Window, chromium, window
from tests.kit.command import Place
from tests.kit.tokens import TESTER
from tests.kit.waiting import free_port

FOLDER = Path(__file__).parents[2] / "docs" / "images"
_EMAIL, _PASSWORD = "ada@example.com", "correct horse battery"
_RUNNING = "are made up."
"""What the demo prints last, before it publishes."""

_TRAFFIC_S = 40.0
"""Seconds of traffic before the first picture. Less: the newest minutes look empty."""


class Picture(NamedTuple):
    """One picture."""

    name: str
    address: str
    look: str = "light"
    follows: str = ""
    """The first link of this kind is followed: a page whose address differs each time."""


_CALLBACKS = "/tokens?search=Nordwind"
_A_TOKEN, _A_DELIVERY = "table a[href^='/tokens/tok_']", "table a[href^='/deliveries/dlv_']"
PICTURES = (
    Picture("overview", "/"),
    Picture("overview-dark", "/", "dark"),
    Picture("overview-phone", "/", "phone"),
    Picture("tokens", "/tokens"),
    Picture("tokens-phone", "/tokens", "phone"),
    Picture("callbacks", _CALLBACKS, follows=_A_TOKEN),
    Picture("delivery", "/deliveries?state=exhausted&status_code=503", follows=_A_DELIVERY),
    Picture(
        "delivery-dark", "/deliveries?state=exhausted&status_code=503", "dark", follows=_A_DELIVERY
    ),
    Picture(
        "delivery-phone",
        "/deliveries?state=exhausted&status_code=503",
        "phone",
        follows=_A_DELIVERY,
    ),
    Picture("attention", "/attention"),
    Picture("attention-phone", "/attention", "phone"),
)


@contextmanager
def _demo(folder: Path) -> Iterator[str]:
    """A demo in which one administrator may sign in; the address of its pages."""
    place = Place(folder, LISTEN=f"127.0.0.1:{free_port()}")
    process = place.start("serve", "--demo")
    try:
        assert process.stdout
        next(line for line in process.stdout if _RUNNING in line)
        # what it prints from here on is read, so that it never waits
        threading.Thread(target=process.stdout.read, daemon=True).start()
        database = Database(f"sqlite:///{folder}/var/demo.db")
        people = People(database)
        people.add(_EMAIL, Role.ADMIN, TESTER)
        people.set_password_hash(_EMAIL, password_hash(_PASSWORD), TESTER)
        database.close()
        yield f"http://{place.env['RINGBACK_LISTEN']}"
    finally:
        process.terminate()
        process.wait(60)


def _take(seen: Window, picture: Picture) -> None:
    page = seen.page
    seen.look(picture.look)
    seen.open(picture.address)
    if picture.follows:
        href = page.locator(picture.follows).first.get_attribute("href")
        assert href, picture
        if "tok_" in href:
            href = re.sub(r"(/tokens/\w+).*", r"\1/callbacks", href)
        seen.open(href)
    page.wait_for_load_state("networkidle")
    _settle(page)
    page.screenshot(path=FOLDER / f"{picture.name}.png", animations="disabled")


def _settle(page: Page) -> None:
    """Have the pointer and the focus nowhere, and the charts drawn in the size of the window."""
    page.mouse.move(0, 0)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 300)))")


def take_all() -> None:
    """Take every picture."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        _demo(Path(folder)) as base,
        chromium() as browser,
    ):
        seen = window(browser, base)
        seen.sign_in(_EMAIL, _PASSWORD)
        seen.page.wait_for_timeout(_TRAFFIC_S * 1000)
        for picture in PICTURES:
            _take(seen, picture)
        assert seen.complaints == []


if __name__ == "__main__":
    take_all()
