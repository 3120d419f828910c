"""What others write is only ever text: on every page, in every answer to a form, in every file.

Customers, suppliers and receivers decide what stands on the pages of an administrator.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Browser, Response

from schemas.people import Role
from tests.browser.hostile import HOSTILE, Garden, Planted
from tests.browser.scene import PASSWORD, filled
from tests.browser.test_looks import STATES
from tests.kit.browser import Window, window
from tests.kit.platform import MESSAGE

TYPED = 5000
"""Characters that are typed into fields of forms: a form as a whole has a limit."""

EMAIL = "'{{7*7}}hostile=1+|@example.com"
"""An address that is one, by the rules."""

FORMS = (
    ("/tokens/new", "name", "contact", "expires_on", "zone", "permission", "sees", "channel",
     "more_channels", f"url.{MESSAGE}", "key"),
    ("/tokens/<token_id>", "name", "contact", "activates_on", "zone", "edition", "was.name"),
    ("/tokens/<token_id>", "name"),
    ("/tokens/<token_id>/permissions", "permission", "was", "edition"),
    ("/tokens/<token_id>/visibility", "sees", "channel", "more_channels", "listed", "was"),
    ("/tokens/<token_id>/regenerate", "overlap", "edition"),
    ("/tokens/<token_id>/signing-secret/rotate", "overlap"),
    (f"/tokens/<token_id>/callbacks/{MESSAGE}", "url", "held", "was", "header_name", "header_value",
     "remove_header"),
    (f"/tokens/<token_id>/callbacks/{MESSAGE}/test", "data"),
    ("/attention/acknowledge", "callback_id", "kind", "note"),
    ("/recoveries/new", "token", "type", "since", "states", "status_code", "error", "delivery"),
    ("/people/add", "email", "role"),
    ("/people/role", "email", "role"),
    ("/people/link", "email"),
    ("/account/preferences", "language", "zone", "theme"),
    ("/account/password", "old_password", "new_password"),
    ("/account/end-session", "session"),
)  # fmt: skip
"""Addresses of forms, and fields of them."""

SEARCHES = (
    ("/search", "q"),
    ("/tokens", "search"),
    ("/tokens", "search", "state", "filter", "sort", "limit", "cursor"),
    ("/tokens/new", "name", "contact", "permission", "preset", "expires_on", "nothing"),
    ("/tokens/<token_id>/log", "path"),
    ("/tokens/<token_id>/log", "allowed", "method", "status", "since", "until", "zone"),
    ("/tokens/<token_id>/changes", "cursor"),
    ("/deliveries", "token"),
    ("/deliveries", "token", "type", "state", "error", "status_code", "event", "since", "within"),
    ("/deliveries/<delivery_id>", "attempt", "compare", "with"),
    ("/events", "type", "since", "until", "zone", "within", "cursor"),
    ("/recoveries/new", "token", "type", "states", "delivery"),
    ("/people", "cursor", "log"),
    ("/people/person", "email"),
    ("/", "range"),
)
"""Addresses with parameters."""

SUPPLIERS = [state for state, address in STATES.items() if address.startswith("/supplier/<")]
"""Pages that are seen by a link."""

_FOUND = """
(base) => [
  ...[...document.querySelectorAll("[data-hostile]")].map((one) => `element: ${one.outerHTML}`),
  ...[...document.querySelectorAll("[href], [src], [action]")]
    .map((one) => one.href || one.src || one.action)
    .filter((address) => typeof address !== "string" || !address.startsWith(base + "/"))
    .map((address) => `address: ${address}`),
  ...(document.body.innerText.includes("49hostile") ? ["a template was filled in"] : []),
  ...(document.cookie.includes("hostile") ? ["a cookie was set"] : []),
]
"""
"""What is on a page, but should not be."""

_REVERSED = """
() => {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange(), found = [];
  const place = (node, at) => {
    range.setStart(node, at);
    range.setEnd(node, at + 1);
    return range.getBoundingClientRect();
  };
  while (walk.nextNode()) {
    const node = walk.currentNode;
    for (const { 0: word, index } of node.data.matchAll(/[A-Za-z]{3,}/g)) {
      const first = place(node, index), last = place(node, index + word.length - 1);
      if (first.width && first.top === last.top && first.left > last.left) found.push(word);
    }
  }
  return found;
}
"""
"""Words whose letters stand from right to left."""

_SEND = """
([action, fields]) => {
  const form = Object.assign(document.createElement("form"), { method: "post", action });
  for (const [name, value] of fields) {
    form.append(Object.assign(document.createElement("textarea"), { name, value }));
  }
  document.body.append(form);
  form.submit();
}
"""


@pytest.fixture(scope="module")
def garden() -> Iterator[Garden]:
    with Garden.made() as made:
        yield made


@pytest.fixture(scope="module")
def admin(garden: Garden, browser: Browser) -> Iterator[Window]:
    """The window of an administrator who sees all of it."""
    opened = window(browser, garden.base)
    opened.sign_in(f"{Role.ADMIN}@example.com", PASSWORD)
    yield opened
    opened.page.context.close()


@pytest.fixture
def stranger(garden: Garden, browser: Browser) -> Iterator[Window]:
    """A window in which no one has signed in."""
    opened = window(browser, garden.base)
    yield opened
    opened.page.context.close()


def judge(seen: Window, response: Response | None, what: str) -> None:
    """Nothing on the page came from a text, and the server made no error of it."""
    assert response is not None, what
    assert response.status < 500, f"{what}: {response.status} {seen.page.inner_text('body')}"
    assert seen.page.evaluate(_FOUND, seen.base) == [], what
    assert seen.complaints == [], what


def look(seen: Window, address: str) -> None:
    judge(seen, seen.page.goto(seen.base + address), address)


def send(seen: Window, address: str, fields: list[tuple[str, str]]) -> None:
    """Send a form with fields that no one checked before."""
    with seen.page.expect_navigation() as navigation:
        seen.page.evaluate(_SEND, [address, fields])
    judge(seen, navigation.value, f"{address} {[name for name, _ in fields]}"[:200])


@pytest.mark.parametrize("kind", HOSTILE)
def test_fields_that_refuse_a_text_say_so(garden: Garden, kind: str) -> None:
    """With 422, and never by an error of ours. Some take it: else nothing would be seen below."""
    refused = garden.planted[kind].refused

    assert set(refused.values()) <= {0, 422}
    assert {"event", "report", "channels"} - set(refused) or kind == "nul"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_typed_into_forms_stays_text(garden: Garden, admin: Window, kind: str) -> None:
    """Whether it is saved or refused: it is shown again either way."""
    one = garden.planted[kind]
    for address, *names in FORMS:
        fields = [(name, one.text[:TYPED]) for name in names]
        send(admin, filled(address, one.ids), fields)
    send(admin, f"/tokens/{one.token['id']}/delete", [("name", f"{one.text[:TYPED]} not")])
    send(admin, "/attention/acknowledge", [*trouble(one), ("note", one.short)])
    send(admin, "/people/add", [("email", EMAIL), ("role", "viewer")])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_test_shows_what_the_receiver_answered_as_text(
    garden: Garden, admin: Window, kind: str
) -> None:
    """With the text in what is sent, too."""
    one = garden.planted[kind]
    look(admin, f"/tokens/{one.token['id']}/callbacks")
    typed = admin.page.locator("textarea[name=data]").first.input_value()
    data = json.loads(typed)
    data["message"]["content"] = {"type": "text", "text": one.text[:TYPED]}
    test = f"/tokens/{one.token['id']}/callbacks/{MESSAGE}/test"
    send(admin, test, [("data", json.dumps(data))])
    assert "The test failed" in admin.page.inner_text("main")
    assert "hostile" in admin.page.inner_text(".result")
    send(admin, f"/deliveries/{one.delivery_id}/curl", [])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_in_an_address_stays_text(garden: Garden, admin: Window, kind: str) -> None:
    """Of searches, filters, links that fill forms, and of nothing."""
    one = garden.planted[kind]
    for address, *names in SEARCHES:
        query = urlencode(dict.fromkeys(names, one.short))
        look(admin, f"{filled(address, one.ids)}?{query}")
    look(admin, f"/{quote(one.short, safe='')}")
    look(admin, f"/tokens/{quote(one.short, safe='')}")


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_strangers_type_stays_text(garden: Garden, stranger: Window, kind: str) -> None:
    """Also where it is kept until they have signed in."""
    one = garden.planted[kind]
    text = one.text[:TYPED]
    look(stranger, "/sign-in")
    names = ("email", "password", "next", "zone", "resumed", "resume:name")
    send(stranger, "/sign-in", [(name, text) for name in names])
    send(stranger, "/sign-in/link", [("code", text), ("email", text)])
    send(stranger, f"/tokens/{one.token['id']}", [("name", text), (one.short, text)])
    assert "What you typed is kept" in stranger.page.inner_text("main")
    stranger.page.get_by_label("E-mail").fill("viewer@example.com")
    stranger.page.get_by_label("Password").fill(PASSWORD)
    with stranger.page.expect_navigation() as navigation:
        stranger.page.get_by_role("button", name="Sign in").click()
    judge(stranger, navigation.value, "what was kept")
    assert stranger.page.get_by_role("heading", name="Go on where you were").is_visible()


@pytest.mark.timeout(240)
def test_lists_of_all_of_it_show_texts(admin: Window) -> None:
    """All of them on one page."""
    for address in STATES.values():
        if "_id>" not in address:
            look(admin, address)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", HOSTILE)
def test_pages_about_one_of_it_show_texts(garden: Garden, admin: Window, kind: str) -> None:
    """Of a token, its event, its delivery and the answers of its receiver."""
    one = garden.planted[kind]
    for state, address in STATES.items():
        if "_id>" in address and "recovery" not in address and state not in SUPPLIERS:
            look(admin, filled(address, one.ids))
            if state in {"log", "event", "payload", "failed delivery"}:
                assert "hostile" in admin.page.inner_text("main"), state


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_suppliers_pages_show_texts(
    garden: Garden, admin: Window, stranger: Window, kind: str
) -> None:
    """Of what was published by others."""
    one = garden.planted[kind]
    look(admin, f"/tokens/{one.token['id']}/supplier")
    admin.page.get_by_role("button", name="Make a link").click()
    stranger.page.goto(admin.page.get_by_label("The link").input_value())
    for state in SUPPLIERS:
        look(stranger, filled(STATES[state], one.ids))
        if "delivery" in state or "payload" in state:
            assert "hostile" in stranger.page.inner_text("main"), state


@pytest.mark.timeout(240)
def test_a_text_turns_nothing_but_itself(garden: Garden, admin: Window) -> None:
    """Else a customer's message turns the words of the page around that come after it."""
    one, reversed_words = garden.planted["override"], set()
    for state, address in STATES.items():
        if "recovery" not in address and state not in SUPPLIERS:
            look(admin, filled(address, one.ids))
            found = admin.page.evaluate(_REVERSED)
            reversed_words.update(found)
            assert set(found) <= {"hostile"}, address
    assert reversed_words, "nothing was looked at"


@pytest.mark.timeout(240)
def test_files_hold_no_formula_and_no_link(garden: Garden, admin: Window, tmp_path: Path) -> None:
    """A spreadsheet would compute it, with the rights of the person who opens the file."""
    for number, address in enumerate(["/tokens.xlsx", *map(log_of, garden.planted.values())]):
        path = tmp_path / f"{number}.xlsx"
        path.write_bytes(fetched(admin, address))
        book = load_workbook(path)
        cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
        assert {cell.data_type for cell in cells} <= {"s", "n", "d", "inlineStr"}, address
        assert [cell.hyperlink for cell in cells if cell.hyperlink] == [], address
        assert any("hostile" in str(cell.value) for cell in cells), address
    for one in garden.planted.values():
        text = fetched(admin, log_of(one).replace(".xlsx", ".csv")).decode("utf-8-sig")
        texts = [cell for row in csv.reader(text.splitlines()) for cell in row]
        assert [cell for cell in texts if cell.startswith(("=", "+", "-", "@", "\t"))] == []


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_said_of_a_deleted_token_is_text(garden: Garden, admin: Window, kind: str) -> None:
    """The last that is seen of it."""
    token = f"/tokens/{garden.planted[kind].token['id']}"
    name = garden.ringback.admin.get(f"/v1{token}")["name"]
    look(admin, f"{token}/delete")
    send(admin, f"{token}/delete", [("name", name)])
    assert "is revoked for good" in admin.page.inner_text("main")
    look(admin, "/tokens?state=revoked")
    look(admin, token)


def trouble(one: Planted) -> list[tuple[str, str]]:
    """The hidden fields of the form that acknowledges its failure."""
    return [("callback_id", one.delivery_id.split("_")[1]), ("kind", "500")]


def log_of(one: Planted) -> str:
    return f"/tokens/{one.token['id']}/log.xlsx"


def fetched(seen: Window, address: str) -> bytes:
    """A file, as the person who is signed in gets it."""
    answer = seen.page.request.get(seen.base + address)
    assert answer.status == 200, answer.text()
    return answer.body()
