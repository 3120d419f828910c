"""Every page in a language that is no language: each text is marked, and longer by 40 %.

What is not marked would stay English in every other language; what does not fit would be cut off in
German. The pages run in this process, as no program should know such a language.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from gettext import NullTranslations
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from dashboard import application
from dashboard.languages import Language
from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import TokenId
from schemas.people import Role
from tests.browser.test_looks import OPEN, STATES
from tests.kit.browser import Window, window
from tests.kit.pages import Site
from tests.kit.supplier_page import link_to
from tests.kit.tokens import TESTER, token_fields
from tests.kit.traffic import Traffic, failed

_MORE = 0.4
"""How much longer translations of short English texts may be."""

_PADDING = " lorem ipsum dolor sit amet" * 20
_LONG_AGO = "2020-01-01T00:00:00Z"

DATA = {
    "ACME CRM", "Broken Ltd", "Ringback", "UTC", "Europe/Rome", "English", "Italiano", "JSON",
    "admin@example.com", "viewer@example.com", "a browser", "crm.example", "127.0.0.1", "CSV", "GET", "POST", "a test", "HTTP 500",
}  # fmt: skip
"""What people and programs named: it is the same in every language."""

UNMARKED = """(data) => {
  const words = /\\p{L}{2,}/u, hidden = "code, pre, kbd, time, bdi, .json, .where, .email, .hints, td > small, datalist, [dir=auto]";
  const known = (text) => data.some((one) => text === one || text === `${one};`) || /^[a-z_]+(_[a-z0-9]+)+$|^[\\w.:\\/-]+\\.example|^https?:|^\\d{1,2} \\p{L}{3} \\d{4}/u.test(text);
  const found = [];
  const judge = (text, element) => {
    text = text.trim();
    if (words.test(text) && !text.includes("⟦") && !known(text)) found.push(`${element.tagName} ${element.className}: ${text.slice(0, 90)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (element.checkVisibility() && !element.closest(hidden + ", script, style, select[name=zone], textarea, .headers, [lang]:not(html)"))
      judge(walker.currentNode.textContent, element);
  }
  for (const name of ["aria-label", "title", "alt", "data-done", "data-failed", "data-new", "data-new-one"])
    for (const element of document.querySelectorAll(`body [${name}]`)) judge(element.getAttribute(name), element);
  return found;
}"""
WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth && !one.closest(".table"))
  .map((one) => `${one.tagName} ${one.className}: ${one.textContent.trim().slice(0, 60)}`)"""
"""What makes the page wider than its window. Tables are moved within their place."""


def marked(text: str) -> str:
    """Return a text with the mark around it, and longer."""
    return f"⟦{text}{_PADDING[: round(len(text) * _MORE)]}⟧"


class _Marking(NullTranslations):
    def gettext(self, message: str) -> str:
        return marked(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return marked(super().ngettext(msgid1, msgid2, n))


class _Pseudo(Language):
    """Marks its texts, and how long something is."""

    def ago(self, *moments: int) -> str:
        return f"⟦{super().ago(*moments)}⟧"

    def span(self, seconds: float) -> str:
        return f"⟦{super().span(seconds)}⟧"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Pages"]:
    with Pages.made(tmp_path_factory.mktemp("pages")) as made:
        yield made


class Pages:
    """The pages in this language, with a bit of everything on them, on a port of their own."""

    def __init__(self, site: Site):
        self.site, self.traffic = site, Traffic(site.database, site.vault)
        self.admin = site.browser(Role.ADMIN)
        working, broken = self.traffic.token(), self.traffic.token("Broken Ltd")
        given_up = {"state": DeliveryState.EXHAUSTED, "reason": "2 attempts failed"}
        failed_id = self.traffic.delivery("evt_2", broken, failed(), failed(2), **given_up)
        again = self.admin.send(
            "/recoveries/new", token=broken.id, states="exhausted", since=_LONG_AGO
        )
        self.ids = {
            "token_id": working.id,
            "broken_id": broken.id,
            "empty_id": self.site.parts.tokens.create(
                token_fields("No callbacks yet"), {}, self.site.database.time(), TESTER
            ).token.id,
            "event_id": "evt_1",
            "delivery_id": self.traffic.delivery("evt_1", working),
            "failed_id": failed_id,
            "recovery_id": again.location.rpartition("/")[2],
        }

    @classmethod
    @contextmanager
    def made(cls, folder: Path) -> Iterator["Pages"]:
        with pytest.MonkeyPatch.context() as patched:
            pseudo = _Pseudo("en", _Marking())
            patched.setattr(application, "chosen", lambda *_: pseudo)
            site = Site(folder)
            pages = cls(site)
            server = make_server("127.0.0.1", 0, site.app, threaded=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            pages.base = f"http://127.0.0.1:{server.server_port}"
            try:
                yield pages
            finally:
                server.shutdown()
                site.close()

    base = ""

    @contextmanager
    def window(self, browser: Browser, *, is_signed_in: bool) -> Iterator[Window]:
        opened = window(browser, self.base)
        cookie = self.admin.client.get_cookie("ringback")
        if is_signed_in and cookie:
            opened.page.context.add_cookies(
                [{"name": cookie.key, "value": cookie.value, "url": self.base}]
            )
        opened.page.set_viewport_size({"width": 360, "height": 740})
        yield opened
        opened.page.context.close()


@pytest.mark.parametrize("state", STATES)
def test_every_text_can_be_translated_and_has_room(
    pages: Pages, browser: Browser, state: str
) -> None:
    """On the narrowest phone, with texts that are longer by 40 %."""
    address = STATES[state]
    for name, value in pages.ids.items():
        address = address.replace(f"<{name}>", value)
    assert "<" not in address, "Pages.ids lacks a value for it"
    supplier = re.match(r"/supplier/<(\w+)>", STATES[state])
    with pages.window(browser, is_signed_in=state not in OPEN) as opened:
        if supplier:
            opened.open(link_to(pages.site, TokenId(pages.ids[supplier[1]])))
        opened.open(address)

        assert "⟦" in opened.page.inner_text("main")
        assert opened.page.evaluate(UNMARKED, sorted(DATA)) == []
        assert opened.page.evaluate(WIDER) == []


def test_what_is_not_marked_or_sticks_out_is_found(pages: Pages, browser: Browser) -> None:
    """The test above would not notice if it judged nothing."""
    with pages.window(browser, is_signed_in=False) as opened:
        opened.page.set_content(
            f"<p>{marked('marked')} <b>plain</b></p><p title='hint'>12</p><p>ACME CRM</p>"
            "<pre style='min-width: 500px'>long</pre>"
        )

        assert opened.page.evaluate(UNMARKED, sorted(DATA)) == ["B : plain", "P : hint"]
        assert opened.page.evaluate(WIDER) == ["PRE : long"]
