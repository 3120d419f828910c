"""A whole day at the pages, as a person has it: from the first link to signing out, by clicking and
typing. On one process, and on RabbitMQ and PostgreSQL.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Browser, expect

from dashboard.site_map import PAGES
from schemas.people import Role
from tests.browser.day import CALLBACK, EMAIL, PASSWORD, PATIENCE_MS, TOKEN, Day
from tests.kit.browser import Window, window
from tests.kit.client import Client
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback

VIEWER = "vera@example.com"
BROKEN = 3
"""Events that fail. So few that their callback is not taken for failing as a whole."""

OWN = {"/sign-out"}
"""What a viewer may send from any page."""


@pytest.fixture(params=["embedded", "services"])
def ringback(request: pytest.FixtureRequest) -> Iterator[Ringback]:
    """As `make run` starts it, and as an operator does."""
    services = {}
    if request.param == "services":
        services = {
            "broker_url": request.getfixturevalue("rabbit").url,
            "database_url": request.getfixturevalue("postgres").fresh_database(),
        }
    made = Ringback(**services, quickstart=not services, RETRY_SCHEDULE="100ms")
    yield made
    made.close()


@pytest.fixture
def day(ringback: Ringback, browser: Browser) -> Iterator[Day]:
    with Receiver() as receiver:
        begun = Day.begins(ringback, receiver, browser)
        yield begun
        begun.page.context.close()


@pytest.mark.timeout(300)  # two nodes start within it, on a machine that may be busy
def test_an_administrator_has_a_whole_day(day: Day, browser: Browser, tmp_path: Path) -> None:
    """Every page works together with the others, and none of them complains."""
    signs_in_by_the_first_link(day)
    creates_a_token(day)
    sets_a_callback(day)
    sends_a_test(day)
    sees_a_delivery_appear_by_itself(day)
    sees_deliveries_fail_and_why(day)
    acknowledges_the_failure(day)
    sends_all_that_match_again(day)
    reads_and_downloads_the_log(day, tmp_path)
    replaces_the_token_with_an_overlap(day)
    replaces_the_signing_secret_with_an_overlap(day)
    looks_on(day, browser, adds_a_viewer(day))
    deletes_the_token(day)
    signs_out(day)

    assert day.window.complaints == []


def first_link(ringback: Ringback) -> str:
    """The link that signs the first administrator in, as it is printed."""
    if ringback.on_services:
        said = ringback.run("user", "add", EMAIL, "--role", "admin")
    else:
        said = ringback.log("serve")
    return re.findall(r"http://\S+/sign-in/link\?code=\S+", said)[-1]


def signs_in_by_the_first_link(day: Day) -> None:
    """And sets a password."""
    day.page.goto(first_link(day.ringback))
    email = day.page.get_by_label("E-mail")
    if email.is_editable():
        email.fill(EMAIL)
    day.page.get_by_label("Password").fill(PASSWORD)
    day.press("Sign in")
    day.sees_heading("Overview")


def creates_a_token(day: Day) -> None:
    """It may publish, and sees all channels."""
    day.go("Tokens")
    day.press("Create new API access token")
    day.page.get_by_label("Name", exact=True).fill(TOKEN)
    day.page.get_by_role("switch", name="Publish events").check()
    day.page.get_by_label("All channels, also those to come").check()
    day.press("Create API access token")
    day.sees_heading(f"{TOKEN} is created")
    assert re.fullmatch("rbk_[0-9A-Za-z]{36}", day.copied("API access token"))


def sets_a_callback(day: Day) -> None:
    day.page.get_by_role("link", name="Say where events are sent to").click()
    card = day.page.get_by_role("article", name=CALLBACK)
    card.get_by_label("Address").fill(day.address)
    day.press("Save", card)
    day.sees(f"The callback for {CALLBACK} is saved.")


def sends_a_test(day: Day) -> None:
    """Without leaving the page."""
    card = day.page.get_by_role("article", name=CALLBACK)
    day.press("Send a test", card)
    day.sees("It works: the receiver answered 200", card)
    day.received(1)


def sees_a_delivery_appear_by_itself(day: Day) -> None:
    """On the overview, and in the list of deliveries, which go on by themselves."""
    day.go("Overview")
    day.page.evaluate("window.isTheSamePage = true")
    day.publish()
    day.received(2)
    day.waits_for_row("Delivered")
    assert day.page.evaluate("window.isTheSamePage")

    day.go("Deliveries")
    known = day.page.get_by_role("row").count()
    day.page.evaluate("window.isTheSamePage = true")
    day.publish()
    expect(day.page.get_by_role("row").nth(known)).to_be_visible(timeout=PATIENCE_MS)
    assert day.page.evaluate("window.isTheSamePage")


def sees_deliveries_fail_and_why(day: Day) -> None:
    """In words, on the page of one of them."""
    day.break_receiver()
    day.publish(BROKEN)
    day.waits_for_row("Given up").get_by_role("link", name=CALLBACK).click()
    day.sees("Given up: 2 attempts failed.")
    day.sees("met an error of the receiver: it answered 500.")


def acknowledges_the_failure(day: Day) -> None:
    """With a note for the others."""
    day.go("Needs attention")
    card = day.page.get_by_role("article").filter(has_text=TOKEN)
    day.sees("Answered with status 500", card)
    day.sees(f"{BROKEN} deliveries in the last 7 days", card)
    card.get_by_text("Acknowledge").first.click()
    card.get_by_label("What is done about it?").fill("They restart it.")
    day.press("Acknowledge", card)
    day.sees("Acknowledged.")
    day.page.get_by_text("1 acknowledged").click()
    day.sees("They restart it.", card)


def sends_all_that_match_again(day: Day) -> None:
    """Counted first; how far it is can be seen after a reload, too."""
    day.mend_receiver()
    before = len(day.receiver.requests())
    card = day.page.get_by_role("article").filter(has_text=TOKEN)
    card.get_by_role("link", name="Show the deliveries").click()
    day.press("Send all that match again …")
    day.sees(f"{BROKEN} will be sent again.")
    day.press("Send them again")
    day.sees(f"{BROKEN} of {BROKEN}")
    day.page.reload()
    day.sees(f"{BROKEN} of {BROKEN}")
    day.sees(f"{BROKEN} were made due")
    day.received(before + BROKEN)


def reads_and_downloads_the_log(day: Day, folder: Path) -> None:
    """The page, the workbook and the CSV file show the same requests."""
    day.go_to_token("Log")
    posts = day.page.get_by_role("row").filter(has_text="POST /v1/events").filter(has_text="202")
    expect(posts).to_have_count(2 + BROKEN, timeout=PATIENCE_MS)
    with downloaded(day, "CSV", folder).open(encoding="utf-8-sig", newline="") as file:
        listed = list(csv.DictReader(file))
    book = load_workbook(downloaded(day, "Excel", folder))
    header, *rows = book.worksheets[0].iter_rows(values_only=True)
    book.close()
    assert [line["Path"] for line in listed] == ["/v1/events"] * (2 + BROKEN)
    assert [row[header.index("Path")] for row in rows] == [line["Path"] for line in listed]


def downloaded(day: Day, kind: str, folder: Path) -> Path:
    """Where the file is that a button downloads."""
    with day.page.expect_download() as download:
        day.press(f"Download {kind}")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def replaces_the_token_with_an_overlap(day: Day) -> None:
    """Both are valid for an hour."""
    day.go_to_token("Details")
    day.page.get_by_label("The one before stays valid").select_option("for one hour")
    day.press("Replace the token")
    day.sees_heading(f"{TOKEN} has a new token")
    new = day.copied("API access token")
    assert new != day.secrets[0]
    assert [is_valid(day, secret) for secret in day.secrets] == [True, True]


def replaces_the_signing_secret_with_an_overlap(day: Day) -> None:
    """Webhooks carry both signatures meanwhile."""
    before = len(day.receiver.requests())
    day.go_to_token("Callbacks")
    day.page.get_by_label("The previous one also signs for").select_option(index=1)
    day.press("Replace the signing secret")
    day.sees("The signing secret was replaced.")
    day.ringback.wait_until_in_force()
    day.publish()
    day.received(before + 1)
    assert len(day.receiver.requests()[-1].headers["webhook-signature"].split()) == 2


def adds_a_viewer(day: Day) -> str:
    """And has a link to send to them."""
    day.go("People")
    day.page.get_by_label("E-mail").fill(VIEWER)
    day.page.get_by_label("Role").select_option("Viewer")
    day.press("Add")
    return day.page.get_by_label("The link").input_value()


def looks_on(day: Day, browser: Browser, link: str) -> None:
    """The viewer sees every page, is offered no change, and can make none by hand."""
    seen = window(browser, day.window.base)
    seen.page.goto(link)
    seen.page.get_by_label("Password").fill(PASSWORD)
    seen.page.get_by_role("button", name="Sign in").click()
    expect(seen.page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE_MS)
    forms = walked(seen)
    assert {one for one in forms if not one.startswith("/account/")} <= OWN
    assert statuses_by_hand(seen) == {403}
    assert seen.complaints == []
    seen.page.context.close()


def walked(seen: Window) -> set[str]:
    """Open every page that links lead to, one of each kind. Return where their forms are sent to."""
    forms: set[str] = set()
    known, waiting = {"/"}, ["/"]
    while waiting:
        answer = seen.page.goto(seen.base + waiting.pop())
        assert answer
        assert answer.status == 200, answer.url
        forms |= set(seen.page.eval_on_selector_all("form[method=post]", _ACTIONS))
        for path in seen.page.eval_on_selector_all("a[href]:not([download])", _PATHS):
            kind = re.sub(r"[a-z]{3}_[\w-]+", "…", urlsplit(path).path)
            if kind not in known and "." not in kind and kind != "/docs":
                known.add(kind)
                waiting.append(path)
    assert {"/deliveries/…", "/events/…", "/tokens/…/log", "/people"} <= known
    return forms


_ACTIONS = "forms => forms.map(({action}) => new URL(action).pathname)"
_PATHS = "links => links.map(({pathname, search}) => pathname + search)"
_SENT = """
paths => Promise.all(paths.map(path =>
  fetch(path, {method: "POST", body: new URLSearchParams({name: "x"})}).then(({status}) => status)))
"""


def statuses_by_hand(seen: Window) -> set[int]:
    """What every form of an administrator is answered, sent without one."""
    rules = [page.rule for page in PAGES if page.changes and page.needs is Role.ADMIN]
    return set(seen.page.evaluate(_SENT, [re.sub("<.*?>", "x", rule) for rule in rules]))


def deletes_the_token(day: Day) -> None:
    """Once its name is typed."""
    day.go_to_token("Details")
    day.press("Delete …")
    name = day.page.get_by_label("To delete it, type its name")
    name.fill("ACME")
    day.press("Delete for good")
    day.sees("This is not its name. Nothing was deleted.")
    assert is_valid(day, day.secrets[-1])
    name.fill(TOKEN)
    day.press("Delete for good")
    day.sees(f"{TOKEN} is revoked for good.")
    day.ringback.wait_until_in_force()
    assert [is_valid(day, secret) for secret in day.secrets] == [False, False]


def signs_out(day: Day) -> None:
    """And going back shows nothing."""
    day.page.get_by_text(EMAIL).click()
    day.page.get_by_role("button", name="Sign out").click()
    expect(day.page.get_by_label("Password")).to_be_visible(timeout=PATIENCE_MS)
    day.page.go_back()
    expect(day.page.get_by_label("Password")).to_be_visible(timeout=PATIENCE_MS)


def is_valid(day: Day, secret: str) -> bool:
    """Whether the API takes a token."""
    with Client(day.ringback.port, secret) as client:
        return client.call("GET", "/v1/me").status == 200
