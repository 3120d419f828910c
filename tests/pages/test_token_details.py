"""The page of one token: saving it, two people at once, suspending, replacing, deleting."""

import re
from dataclasses import replace

import pytest

from schemas.events.types import EventType
from schemas.people import Role
from schemas.times import UnixMs, to_rfc3339
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token, TokenState
from store.tokens import audit_log
from tests.kit.html_forms import form
from tests.kit.pages import Site
from tests.kit.site_tokens import a_token_of, main_of, secrets_in, send_form
from tests.kit.tokens import TESTER, token_fields

_DAY_MS = 86_400_000


def _now(site: Site, token: Token) -> Token:
    """The token as it is stored now."""
    return site.parts.tokens.get(token.id)


def test_a_save_without_a_change_changes_nothing(site: Site) -> None:
    """A moment of a program, at no day's edge, survives to the millisecond; the log stays empty."""
    now = site.database.time()
    odd = replace(token_fields(), activates_at=UnixMs(now - 123), expires_at=UnixMs(now + 98_765))
    token = a_token_of(site, odd)
    page = f"/tokens/{token.id}"

    response = send_form(site.browser(Role.ADMIN), page, page)

    assert response.status_code == 303
    assert (_now(site, token).activates_at, _now(site, token).expires_at) == (
        odd.activates_at,
        odd.expires_at,
    )
    with site.database.read() as connection:
        assert [row.action for row in audit_log.list_changes(connection, token.id, 10).rows] == [
            "created"
        ]


def test_a_last_day_is_valid_to_its_end_and_said_in_words(site: Site) -> None:
    """On 31 March in Rome it works; at midnight it works no more."""
    token = a_token_of(site)
    page = f"/tokens/{token.id}"
    browser = site.browser(Role.ADMIN)

    response = send_form(browser, page, page, expires_on="2027-03-31", zone="Europe/Rome")

    saved = _now(site, token)
    assert saved.expires_at is not None
    assert to_rfc3339(saved.expires_at) == "2027-03-31T22:00:00.000Z"
    assert saved.state(UnixMs(saved.expires_at - 1)) is TokenState.ACTIVE
    assert saved.state(saved.expires_at) is TokenState.EXPIRED
    words = "Valid until the end of 31 Mar 2027, Europe/Rome: 1 Apr 2027 00:00"
    assert words in browser.open(response.headers["Location"]).text


def test_the_person_who_saves_is_in_the_operation_log(site: Site) -> None:
    """Who did it, by e-mail."""
    token = a_token_of(site)
    page = f"/tokens/{token.id}"

    send_form(site.browser(Role.ADMIN), page, page, name="Renamed", contact="ops@acme.example")

    with site.database.read() as connection:
        (change, _) = audit_log.list_changes(connection, token.id, 10).rows
    assert change.actor.by == "user:admin@example.com"
    assert change.details == {
        "name": ("ACME CRM", "Renamed"),
        "contact": (None, "ops@acme.example"),
    }


def test_a_fault_keeps_what_was_typed_and_saves_nothing(site: Site) -> None:
    """The focus goes to the field that is marked."""
    token = a_token_of(site)
    page = f"/tokens/{token.id}"

    response = send_form(
        site.browser(Role.ADMIN), page, page, name=" ", expires_on="2027-02-30", zone="Mars/Base"
    )

    assert response.status_code == 422
    again = form(response.text, page)
    assert (again.one("expires_on"), again.one("zone")) == ("2027-02-30", "Mars/Base")
    for field in ("name", "expires_on", "zone"):
        assert f'id="fault-{field}"' in response.text
    assert _now(site, token) == token


def test_the_second_of_two_people_sees_both_and_chooses(site: Site) -> None:
    """Neither is overwritten unseen."""
    token = a_token_of(site)
    page = f"/tokens/{token.id}"
    second = site.browser(Role.ADMIN)
    sent = form(second.open(page).text, page).filled(name="Second")
    send_form(site.browser(Role.ADMIN), page, page, name="First", contact="first@acme.example")

    conflict = second.send(page, **sent)

    assert conflict.status_code == 412
    assert _now(site, token).name == "First"
    content = main_of(conflict.text)
    assert "admin@example.com changed this token" in content
    assert "Saved by someone else meanwhile: First" in content
    again = form(conflict.text, page)
    assert (again.one("name"), again.one("contact")) == ("Second", "first@acme.example")
    assert second.send(page, **again.filled()).status_code == 303
    saved = _now(site, token)
    assert (saved.name, saved.contact) == ("Second", "first@acme.example")


def test_a_fault_in_between_does_not_hide_what_another_person_saved(site: Site) -> None:
    """The form that comes back with a fault is still made of what was seen before."""
    token = a_token_of(site)
    page, second = f"/tokens/{token.id}", site.browser(Role.ADMIN)
    sent = form(second.open(page).text, page).filled(name="Second", contact="wrong")

    fault = second.send(page, **sent)
    send_form(site.browser(Role.ADMIN), page, page, name="First")
    mended = form(fault.text, page).filled(contact="right@acme.example")

    assert fault.status_code == 422
    assert second.send(page, **mended).status_code == 412
    assert _now(site, token).name == "First"


def test_what_other_forms_changed_meanwhile_is_no_conflict(site: Site) -> None:
    """Who switches a permission must not make the one who corrects the name do it twice."""
    token = a_token_of(site)
    page = f"/tokens/{token.id}"
    browser = site.browser(Role.ADMIN)
    sent = form(browser.open(page).text, page).filled(name="Renamed")
    site.parts.tokens.change(
        token.id, lambda was: replace(was, permissions=frozenset({Permission.STATS_READ})), TESTER
    )

    assert browser.send(page, **sent).status_code == 303

    saved = _now(site, token)
    assert (saved.name, saved.permissions) == ("Renamed", {Permission.STATS_READ})


def test_a_token_is_suspended_and_resumed(site: Site) -> None:
    """Twice does no harm."""
    token = a_token_of(site)
    browser = site.browser(Role.ADMIN)
    page = f"/tokens/{token.id}"

    for _ in range(2):
        assert browser.send(f"{page}/suspend").status_code == 303
    assert _now(site, token).state(site.database.time()) is TokenState.SUSPENDED
    assert "Resume" in browser.open(page).text
    for _ in range(2):
        assert browser.send(f"{page}/resume").status_code == 303
    assert _now(site, token).state(site.database.time()) is TokenState.ACTIVE


def test_a_replaced_token_is_shown_once_and_the_one_before_lives_on(site: Site) -> None:
    """For as long as was chosen."""
    token = a_token_of(site)
    page, browser = f"/tokens/{token.id}", site.browser(Role.ADMIN)

    response = send_form(browser, page, f"{page}/regenerate", overlap="24h")

    (secret,) = secrets_in(response.text)
    saved = _now(site, token)
    assert secret.endswith(saved.hint[-4:])
    assert saved.hashes[0].value == token.hashes[0].value
    assert saved.hashes[0].until is not None
    assert abs(saved.hashes[0].until - site.database.time() - _DAY_MS) < 60_000
    assert "Valid until" in main_of(browser.open(page).text)
    assert not secrets_in(browser.open(page).text)


def test_replacing_twice_by_a_reload_does_not_end_the_token_that_was_to_live_on(
    site: Site,
) -> None:
    """The second press would make the first new token the old one, and end the oldest at once."""
    token = a_token_of(site)
    page, browser = f"/tokens/{token.id}", site.browser(Role.ADMIN)
    action = f"{page}/regenerate"
    sent = form(browser.open(page).text, action).filled()
    assert browser.send(action, **sent).status_code == 200
    before = _now(site, token)

    again = browser.send(action, **sent)

    assert again.status_code == 412
    assert not secrets_in(again.text)
    assert _now(site, token).hashes == before.hashes


@pytest.mark.parametrize("overlap", ["8d", "soon", ""])
def test_an_overlap_that_is_none_is_refused(site: Site, overlap: str) -> None:
    """As by the API."""
    token = a_token_of(site)
    page = f"/tokens/{token.id}"

    response = send_form(site.browser(Role.ADMIN), page, f"{page}/regenerate", overlap=overlap)

    assert response.status_code == 422
    assert _now(site, token).hashes == token.hashes


def test_deleting_names_what_stops_and_asks_for_the_name(site: Site) -> None:
    """The wrong token is deleted once, and never comes back."""
    token = a_token_of(
        site, urls={EventType.MESSAGE_RECEIVED: "https://x.example/hook?key=very-secret"}
    )
    page, browser = f"/tokens/{token.id}/delete", site.browser(Role.ADMIN)
    content = main_of(browser.open(page).text)
    assert "https://x.example/hook?key=***" in content
    assert "very-secret" not in content

    wrong = send_form(browser, page, page, name="ACME")

    assert wrong.status_code == 422
    assert "This is not its name" in wrong.text
    assert _now(site, token).revoked_at is None
    assert send_form(browser, page, page, name=" acme crm ").status_code == 303
    assert _now(site, token).revoked_at is not None
    assert "revoked for good" in browser.open("/tokens").text


def test_a_revoked_token_is_only_looked_at(site: Site) -> None:
    """It was revoked for good: the page offers nothing that would be refused."""
    token = a_token_of(site)
    site.parts.tokens.revoke(token.id, site.database.time(), TESTER)
    browser = site.browser(Role.ADMIN)
    page = f"/tokens/{token.id}"

    content = main_of(browser.open(page).text)

    assert "Revoked" in content
    assert "<form" not in content
    assert browser.open(f"{page}/delete").status_code == 409
    assert browser.send(f"{page}/suspend").status_code == 409


def test_a_viewer_sees_the_token_and_no_form(site: Site) -> None:
    """And may not send one either."""
    token = a_token_of(site)
    viewer, page = site.browser(Role.VIEWER), f"/tokens/{token.id}"

    content = main_of(viewer.open(page).text)

    assert token.hint in content
    assert "<form" not in content
    for action in (page, f"{page}/suspend", f"{page}/regenerate", f"{page}/delete"):
        assert viewer.send(action, name="x").status_code == 403
    assert _now(site, token) == token


def test_hostile_names_are_text(site: Site) -> None:
    """In every place where they stand."""
    name = "\"><img src=x onerror=alert(1)>'&"
    token = a_token_of(site, token_fields(name))
    browser = site.browser(Role.ADMIN)

    for page in ("", "/permissions", "/visibility", "/delete"):
        text = browser.open(f"/tokens/{token.id}{page}").text
        assert "<img src=x" not in text
        assert re.search(r"<h1[^>]*>[^<]*&#34;&gt;&lt;img", text)
    assert "<img src=x" not in browser.open(f"/tokens/new?like={token.id}").text
    assert "<img src=x" not in browser.open("/tokens").text


@pytest.mark.parametrize("token_id", ["tok_never", "a%00b", "x" * 300, "a.b"])
def test_a_token_that_never_was_is_not_found(site: Site, token_id: str) -> None:
    """Whatever the address holds."""
    browser = site.browser(Role.ADMIN)

    for page in ("", "/permissions", "/visibility", "/delete"):
        assert browser.open(f"/tokens/{token_id}{page}").status_code == 404
