"""A real browser: Debian's Chromium, driven by Playwright. Every page that is visited reports what
its console and its content security policy say.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    StorageState,
    sync_playwright,
)

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
_RULES = {"target-size": {"enabled": True}}  # axe leaves it out by itself

_BORDERS = """
() => {
  // WCAG 1.4.11: what shows where a control is has 3:1 against what is next to it.
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => { const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a: a ?? 1 }; };
  const over = (top, below) => ({
    r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a),
    b: top.b * top.a + below.b * (1 - top.a), a: 1 });
  const luminance = ({ r, g, b }) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ratio = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    let color = { r: 0, g: 0, b: 0, a: 0 };
    for (let at = element; at; at = at.parentElement) {
      const own = parse(getComputedStyle(at).backgroundColor);
      if (color.a === 0) color = own; else if (color.a < 1) color = over(color, own);
      if (color.a === 1) return color;
    }
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return color.a ? over(color, dark ? parse("rgb(0,0,0)") : parse("rgb(255,255,255)")) : parse("rgb(255,255,255)");
  };
  const weak = [];
  for (const control of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!control.checkVisibility() || control.disabled) continue;
    const style = getComputedStyle(control), around = behind(control.parentElement);
    const border = over(parse(style.borderTopColor), around);
    const fill = behind(control);
    const best = Math.max(parseFloat(style.borderTopWidth) ? ratio(border, around) : 1, ratio(fill, around));
    if (best < 3) weak.push(`${control.outerHTML.slice(0, 120)}: ${best.toFixed(2)}`);
  }
  return weak;
}
"""

ELSEWHERE = "ringback.example"
"""A name of this machine, which browsers do not take for this machine's own."""

_ARGUMENTS = ["--no-sandbox", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]

_NOTES = (
    "status of 4",  # a refused form
    "Cross-Origin-Opener-Policy header has been ignored",  # by plain http, where it has no effect
)
"""What Chromium writes as errors although nothing is wrong."""

_REPORTS = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


class Look(NamedTuple):
    """How a page may be looked at."""

    scheme: Literal["light", "dark"]
    width: int
    height: int


LOOKS = {
    "light": Look("light", 1280, 900),
    "dark": Look("dark", 1280, 900),
    "phone": Look("light", 390, 844),
    "large": Look("dark", 640, 450),  # text at 200 % leaves half of the room
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    path = shutil.which("chromium")
    assert path, "Chromium is missing: tools/set-up services installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Window:
    """A window of one person, with what went wrong in it."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    """Errors of scripts, reports of the content security policy, and dialogs that opened."""

    def __post_init__(self) -> None:
        self.page.add_init_script(_REPORTS)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("dialog", self._opened)

    def open(self, path: str) -> None:
        """Visit a page."""
        self.page.goto(self.base + path)

    def look(self, name: str) -> None:
        """Look at the page as one of LOOKS."""
        look = LOOKS[name]
        self.page.emulate_media(color_scheme=look.scheme)
        self.page.set_viewport_size({"width": look.width, "height": look.height})

    def sign_in(self, email: str, password: str) -> None:
        self.open("/sign-in")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(self.base + "/")

    def violations(self) -> list[str]:
        """What axe finds on the page as it stands, and borders of controls that are hard to see."""
        options = {"runOnly": {"type": "tag", "values": _TAGS}, "rules": _RULES}
        found: dict[str, Any] = Axe().run(self.page, options=options).response
        named = [
            f"{violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]
        borders: Sequence[str] = self.page.evaluate(_BORDERS)
        return named + [f"border: {weak}" for weak in borders]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(note in message.text for note in _NOTES):
            self.complaints.append(f"console: {message.text}")

    def _opened(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.accept()


def window(browser: Browser, base: str, cookies: StorageState | None = None) -> Window:
    """A new window with cookies of its own, to be closed by its context."""
    context = browser.new_context(storage_state=cookies, reduced_motion="reduce")
    return Window(context.new_page(), base)
