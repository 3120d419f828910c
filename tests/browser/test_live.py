"""Pages that go on by themselves: soon, but never under a pointer, a focus or a hand that types.

Time in the pages is moved by the tests, so that none of them waits for a clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from schemas.people import Role
from tests.browser.scene import PASSWORD, add_people
from tests.kit.browser import Window, window
from tests.kit.platform import MESSAGE, deliveries_of, message
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

PATIENCE_MS = 30_000
SOON_MS = 10_000
"""Milliseconds within which a page shows what is new."""

_HIDE = """
(is) => Object.defineProperty(document, "hidden", { configurable: true, get: () => is })
"""
_BLUR = "() => { document.hasFocus = () => false; }"
_UNDER = "([x, y]) => document.elementFromPoint(x, y).closest('tr').dataset.row"
_FOCUSED = "() => document.activeElement.closest('tr').dataset.row"


@dataclass
class Going:
    """A Ringback whose callbacks work, and a window of its administrator."""

    ringback: Ringback
    window: Window
    fetched: list[str] = field(default_factory=list)
    """What pages asked for since they were opened."""

    @property
    def page(self) -> Page:
        return self.window.page

    @property
    def rows(self) -> Locator:
        return self.page.locator("tr[data-row]")

    def open(self, path: str) -> None:
        """Open a page, whose clock stands from then on."""
        self.page.clock.install()
        self.window.open(path)
        self.fetched.clear()

    def publish(self, count: int = 1) -> None:
        """Events, and wait until they are delivered."""
        ids = [self.ringback.publisher.publish(message()) for _ in range(count)]
        for event_id in ids:
            wait_for("it to be delivered", lambda event_id=event_id: self._is_there(event_id), 60)

    def _is_there(self, event_id: str) -> bool:
        found = deliveries_of(self.ringback.admin, event_id)
        return "delivered" in {one["state"] for one in found}

    def note(self, request: Request) -> None:
        """Note what is asked for, but for files that any page loads."""
        if "/static/" not in request.url:
            self.fetched.append(request.url)

    def later(self, ms: int = SOON_MS) -> None:
        """Let this time go by in the page."""
        self.page.clock.run_for(ms)

    def sees_rows(self, count: int) -> None:
        expect(self.rows).to_have_count(count, timeout=PATIENCE_MS)

    def top(self, row: str) -> float:
        """Where a row is in the window."""
        box = self.page.locator(f"tr[data-row='{row}']").bounding_box()
        assert box
        return box["y"]

    def point_at(self, place: Locator) -> tuple[float, float]:
        """Move the pointer to the middle of something, and leave it there."""
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        assert box
        at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.move(*at)
        return at


@contextmanager
def started(browser: Browser, *, quickstart: bool) -> Iterator[Going]:
    with Receiver() as receiver:
        ringback = Ringback(quickstart=quickstart)
        try:
            add_people(ringback)
            ringback.token("ACME CRM", callbacks={MESSAGE: receiver.url("/ok/x")})
            ringback.wait_until_in_force()
            opened = window(browser, f"http://127.0.0.1:{ringback.port}")
            going = Going(ringback, opened)
            opened.page.on("request", going.note)
            opened.sign_in(f"{Role.ADMIN}@example.com", PASSWORD)
            yield going
            assert opened.complaints == []
            opened.page.context.close()
        finally:
            ringback.close()


@pytest.fixture
def empty(browser: Browser) -> Iterator[Going]:
    """One in which nothing happened yet, as `make run` starts it."""
    with started(browser, quickstart=True) as going:
        yield going


@pytest.fixture
def going(browser: Browser) -> Iterator[Going]:
    """One with three deliveries."""
    with started(browser, quickstart=False) as made:
        made.publish(3)
        yield made


@pytest.mark.parametrize("goes_on", ["in another window", "on this page"])
def test_the_first_delivery_appears_after_its_command_was_copied(
    empty: Going, goes_on: str
) -> None:
    """The button that was pressed has the focus, and the pointer may still be on it."""
    empty.open("/")
    empty.page.get_by_role("button", name="Copy").last.click()
    expect(empty.page.get_by_role("button", name="Copied")).to_be_visible()
    if goes_on == "in another window":
        empty.page.evaluate(_BLUR)
    else:
        empty.point_at(empty.page.get_by_role("heading", name="Overview"))
    empty.publish()
    empty.later()

    expect(empty.rows.filter(has_text="ACME CRM")).to_be_visible(timeout=PATIENCE_MS)


def test_the_overview_goes_on_under_a_pointer_that_rests(going: Going) -> None:
    """A pointer is somewhere, mostly."""
    going.open("/")
    going.point_at(going.page.get_by_role("heading", name="Ringback itself"))
    going.publish()
    going.later()

    going.sees_rows(4)


def test_a_row_of_the_overview_stays_under_the_pointer(going: Going) -> None:
    """Else a click opens another one. What is new comes when the pointer is gone."""
    going.open("/")
    at = going.point_at(going.rows.nth(1))
    under = going.page.evaluate(_UNDER, at)
    going.publish()
    going.later()
    assert going.page.evaluate(_UNDER, at) == under
    going.page.mouse.move(0, 0)
    going.later()

    going.sees_rows(4)


@pytest.mark.parametrize("page", ["/", "/attention", "/deliveries", "/events"])
def test_a_page_that_is_hidden_asks_for_nothing(going: Going, page: str) -> None:
    """A tab that was left open for days costs nothing; once it is seen, it goes on."""
    going.open(page)
    going.page.evaluate(_HIDE, True)
    going.later(60_000)
    assert going.fetched == []
    going.page.evaluate(_HIDE, False)
    with going.page.expect_response(lambda answer: answer.ok, timeout=PATIENCE_MS):
        going.later(60_000)


def test_new_rows_come_in_by_themselves_when_no_one_works_in_the_list(going: Going) -> None:
    """And only then."""
    going.open("/deliveries")
    going.page.mouse.move(0, 0)
    going.publish(2)
    going.later()

    going.sees_rows(5)


def test_a_row_with_the_focus_keeps_its_place(going: Going) -> None:
    """What is new is announced instead, and put in on request, below the same focus."""
    going.open("/deliveries")
    going.page.keyboard.press("j")
    going.page.keyboard.press("j")
    row = going.page.evaluate(_FOCUSED)
    top = going.top(row)
    going.publish(2)
    going.later()

    announced = going.page.get_by_role("button", name="2 new")
    expect(announced).to_be_visible(timeout=PATIENCE_MS)
    going.later()
    assert going.page.evaluate(_FOCUSED) == row
    assert going.top(row) == top
    going.sees_rows(3)
    announced.click()
    going.sees_rows(5)


def test_a_click_hits_the_row_that_was_under_the_pointer(going: Going) -> None:
    """While new ones arrive all the time."""
    going.open("/deliveries")
    at = going.point_at(going.rows.nth(1).get_by_role("link").first)
    row = going.page.evaluate(_UNDER, at)
    for number in range(1, 4):
        going.publish()
        going.later()
        announced = going.page.get_by_role("button", name=f"{number} new")
        expect(announced).to_be_visible(timeout=PATIENCE_MS)
    assert going.page.evaluate(_UNDER, at) == row
    going.page.mouse.click(*at)

    going.page.wait_for_url(f"**/deliveries/{row}", timeout=PATIENCE_MS)


def test_what_is_ticked_stays_ticked(going: Going) -> None:
    """Also when it is put further down."""
    going.open("/deliveries")
    box = going.rows.nth(2).get_by_role("checkbox")
    row = going.rows.nth(2).get_attribute("data-row")
    box.check()
    going.page.mouse.move(0, 0)
    going.publish()
    going.later()
    announced = going.page.get_by_role("button", name="1 new")
    expect(announced).to_be_visible(timeout=PATIENCE_MS)
    announced.click()

    going.sees_rows(4)
    expect(going.page.locator(f"tr[data-row='{row}']").get_by_role("checkbox")).to_be_checked()


def test_a_list_that_was_switched_off_stays_as_it_is(going: Going) -> None:
    """Until it is switched on again, on the next page, too."""
    going.open("/deliveries")
    going.page.get_by_role("switch", name="Live").uncheck()
    going.fetched.clear()
    going.later(60_000)
    assert going.fetched == []
    going.window.open("/events")
    expect(going.page.get_by_role("switch", name="Live")).not_to_be_checked()
    going.page.get_by_role("switch", name="Live").check()
    going.page.mouse.move(0, 0)
    going.publish()
    going.later()

    going.sees_rows(4)
