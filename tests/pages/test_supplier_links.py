"""Links to a supplier's page: who makes them, what they open, and what ends them at once."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboard.application import create_pages
from dashboard.http.supplier_links import signed
from schemas.ids import TokenId
from schemas.people import Role
from schemas.times import UnixMs
from schemas.tokens.audit_log import Action
from schemas.tokens.supplier_links import SupplierLink
from schemas.tokens.supplier_links import link_to as link_of
from schemas.tokens.tokens import Token
from tests.kit.html import Html
from tests.kit.pages import Browser, Site
from tests.kit.supplier import Supplier
from tests.kit.supplier_page import answers, link_shown, link_to, supplier_of
from tests.kit.tokens import TESTER
from tests.kit.traffic import Traffic

NOTHING = dt.timedelta(0)
DAY_MS = 24 * 60 * 60 * 1000


def test_an_administrator_makes_a_link_that_is_shown_once(site: Site) -> None:
    """It is recorded who made it and until when, and not what it is."""
    supplier = Supplier(site)

    shown = supplier.admin.send(supplier.path("supplier"), life="7d")

    link = link_shown(shown.text)
    later = supplier.admin.open(supplier.path("supplier"))
    change = supplier.changes()[0]
    assert shown.headers["Cache-Control"] == "no-store"
    assert (change.action, change.actor.by) == (
        Action.SUPPLIER_LINK_MADE,
        "user:admin@example.com",
    )
    assert link.partition("code=")[2] not in later.text
    assert "admin@example.com" in Html(later.text).text
    assert "Opens" in Html(later.text).text
    assert site.browser().open(link).headers["Location"] == f"/supplier/{supplier.id}"


def test_a_viewer_sees_who_made_links_and_makes_none(site: Site) -> None:
    """The role is checked with the form, too: `test_changing_routes`."""
    supplier = Supplier(site)
    site.parts.supplier_links.make(supplier.id, dt.timedelta(days=1), TESTER)

    page = site.browser(Role.VIEWER).open(supplier.path("supplier"))

    assert "<form method" not in page.text.partition("<main")[2]
    assert "Opens" in page.text


def test_a_link_does_not_outlast_its_token(site: Site) -> None:
    """The choices say so."""
    supplier = Supplier(site)
    ends_at = UnixMs(site.database.time() + 10 * DAY_MS)
    site.parts.tokens.change(supplier.id, lambda known: replace(known, expires_at=ends_at), TESTER)

    page = Html(supplier.admin.open(supplier.path("supplier")).text)
    supplier.admin.send(supplier.path("supplier"), life="30d")

    choices = [given["value"] for tag, given in page.elements if tag == "option"]
    _, until = supplier.changes()[0].details["valid_until"]
    assert choices == ["1d", "7d", "30d"]
    assert "until the token ends" in page.text
    assert str(until)[:10] == dt.datetime.fromtimestamp(ends_at / 1000, dt.UTC).date().isoformat()


@pytest.mark.parametrize("life", ["400d", "1h", "", "x"])
def test_a_link_lasts_as_long_as_one_of_the_choices(site: Site, life: str) -> None:
    """A form can be changed before it is sent."""
    supplier = Supplier(site)

    answer = supplier.admin.send(supplier.path("supplier"), life=life)

    assert answer.status_code == 422
    assert [change.action for change in supplier.changes()] == [
        Action.CALLBACK_SET,
        Action.CREATED,
    ]


def test_no_link_is_made_to_a_token_that_is_over(site: Site) -> None:
    """It would open nothing."""
    supplier = Supplier(site)
    site.parts.tokens.revoke(supplier.id, site.database.time(), TESTER)

    answer = supplier.admin.send(supplier.path("supplier"), life="1d")

    assert answer.status_code == 409
    assert "is not valid any more" in supplier.admin.open(supplier.path("supplier")).text


def test_opening_a_link_keeps_it_in_a_cookie_of_its_token_alone(
    site: Site, traffic: Traffic
) -> None:
    """The address that shows it is left at once, and any number of times."""
    token = traffic.token()
    link = link_to(site, token.id)

    opened = [site.browser().open(link) for _ in range(3)]

    for answer in opened:
        cookie = answer.headers["Set-Cookie"]
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"/supplier/{token.id}"
        assert f"Path=/supplier/{token.id}" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"


def test_by_https_the_cookie_is_sent_by_https_alone(site: Site, traffic: Traffic) -> None:
    """The link is a credential."""
    site.use(public_url="https://hooks.example.com")
    link = link_to(site, traffic.token().id)

    cookie = site.browser().open(link, base_url="https://localhost").headers["Set-Cookie"]

    assert cookie.startswith("__Secure-ringback-supplier=")
    assert "; Secure" in cookie


def test_a_link_is_in_no_log(site: Site, traffic: Traffic) -> None:
    """Whether it opens something or not."""
    token = traffic.token()
    link = link_to(site, token.id)
    browser = site.browser()
    browser.open(link)
    browser.open(f"/supplier/{token.id}")
    site.parts.supplier_links.end_all(token.id, TESTER)
    browser.open(link)

    code = link.partition("code=")[2]
    assert code not in repr(site.observer.__dict__)


def test_a_dead_link_does_not_go_on_as_a_referrer(site: Site, traffic: Traffic) -> None:
    """Its page stays at the address that shows it, and that of a suspended token opens again."""
    token = traffic.token()
    link = link_to(site, token.id)
    site.parts.tokens.change(token.id, lambda known: replace(known, enabled=False), TESTER)

    assert site.browser().open(link).headers["Referrer-Policy"] == "no-referrer"


def _regenerate(site: Site, token_id: TokenId) -> None:
    week, now = dt.timedelta(days=7), site.database.time()
    site.parts.tokens.regenerate(token_id, week, now, TESTER)


def _expire(site: Site, token_id: TokenId) -> None:
    now = site.database.time()
    site.parts.tokens.change(token_id, lambda known: replace(known, expires_at=now), TESTER)


ENDS: dict[str, tuple[Callable[[Site, TokenId], object], str]] = {
    "a new secret, although the old one goes on": (_regenerate, "This link was ended"),
    "the end of all links": (
        lambda site, token_id: site.parts.supplier_links.end_all(token_id, TESTER),
        "This link was ended",
    ),
    "revocation": (
        lambda site, token_id: site.parts.tokens.revoke(token_id, site.database.time(), TESTER),
        "Your access has ended",
    ),
    "expiry": (_expire, "Your access has ended"),
    "suspension": (
        lambda site, token_id: site.parts.tokens.change(
            token_id, lambda known: replace(known, enabled=False), TESTER
        ),
        "Your access is suspended",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_link_ends_at_once_in_every_process(site: Site, traffic: Traffic, end: str) -> None:
    """Every page says so, and what to do; nothing about it is kept in memory."""
    token = traffic.token()
    shown = traffic.delivery("evt_1", token)
    browser, another = supplier_of(site, token.id), supplier_of(site, token.id)
    another.client.application = create_pages(site.parts)
    assert another.open(f"/supplier/{token.id}").status_code == 200
    ending, words = ENDS[end]

    ending(site, token.id)

    for one in (browser, another):
        for name, answer in answers(one, token.id, shown).items():
            assert answer.status_code == 403, name
            assert words in answer.text, name
            assert "Set-Cookie" not in answer.headers, name
            assert "ask the people who gave you the link" in answer.text, name
            assert token.name not in answer.text, name


def test_after_a_suspension_links_open_again(site: Site, traffic: Traffic) -> None:
    """As the token does."""
    token = traffic.token()
    browser = supplier_of(site, token.id)
    for enabled, status in ((False, 403), (True, 200)):
        site.parts.tokens.change(
            token.id, lambda known, on=enabled: replace(known, enabled=on), TESTER
        )
        assert browser.open(f"/supplier/{token.id}").status_code == status


def test_after_all_links_were_ended_a_new_one_opens(site: Site) -> None:
    """The list says which are which."""
    supplier = Supplier(site)
    before = link_to(site, supplier.id)
    answer = supplier.admin.send(supplier.path("supplier/end"))
    assert answer.status_code == 303

    after = link_to(site, supplier.id)

    page = Html(supplier.admin.open(supplier.path("supplier")).text).text
    assert site.browser().open(before).status_code == 403
    assert site.browser().open(after).status_code == 303
    assert page.index("Opens") < page.rindex("Ended")
    ended = next(one for one in supplier.changes() if one.action is Action.SUPPLIER_LINKS_ENDED)
    assert ended.actor.by == "user:admin@example.com"


def test_a_link_ends_at_its_time(site: Site, traffic: Traffic) -> None:
    """To the millisecond, by the store's clock."""
    token = traffic.token()
    now = site.database.time()

    found = {
        ms: _opened(
            site, replace(link_of(token, dt.timedelta(days=1), now), until=UnixMs(now + ms))
        )
        for ms in (-1, 60_000)
    }

    assert found == {-1: (403, "This link has ended"), 60_000: (303, None)}


def _opened(site: Site, link: SupplierLink) -> tuple[int, str | None]:
    text = signed(link, site.parts.cookie_keys)
    answer = site.browser().open(f"/supplier/link?code={text}")
    words = "This link has ended"
    return answer.status_code, words if words in answer.text else None


def _codes(site: Site, token: Token) -> dict[str, str]:
    good = link_to(site, token.id).partition("code=")[2]
    link = link_of(token, dt.timedelta(days=1), site.database.time())
    content, _, signature = good.rpartition(".")
    return {
        "nothing": "",
        "no link": "x",
        "only dots": "..",
        "a part of one": good[:-1],
        "another signature": f"{content}.{signature[::-1]}",
        "another content": f"{content[:-2]}xx.{signature}",
        "another key": signed(link, [b"another key"]),
        "a token that there is not": signed(
            replace(link, token_id=TokenId("tok_none")), site.parts.cookie_keys
        ),
        "very much": "x" * 3000,
        "no text": "\x00\ud7ff\u202e",
    }


@pytest.mark.parametrize("kind", [
    "nothing", "no link", "only dots", "a part of one", "another signature", "another content",
    "another key", "a token that there is not", "very much", "no text",
])  # fmt: skip
def test_what_is_no_link_opens_nothing(site: Site, traffic: Traffic, kind: str) -> None:
    """A page says what to do, in the address and in the cookie, and nothing is set."""
    token = traffic.token()
    shown = traffic.delivery("evt_1", token)
    code = _codes(site, token)[kind]
    browser = site.browser()

    answer = browser.open("/supplier/link", query_string={"code": code})
    browser.client.set_cookie("ringback-supplier", code, path=f"/supplier/{token.id}")
    found = {"the link": answer, **answers(browser, token.id, shown)}

    for name, one in found.items():
        assert one.status_code == 403, name
        assert "A link is needed for this page" in one.text, name
        assert "Set-Cookie" not in one.headers, name


def test_an_older_key_still_opens_links(site: Site, traffic: Traffic) -> None:
    """A new secret key ends no link before its time, while the one before is kept."""
    token = traffic.token()
    link = link_to(site, token.id)

    site.use(cookie_keys=(*site.parts.cookie_keys, b"a newer key"))
    both = site.browser().open(link).status_code
    site.use(cookie_keys=(b"a newer key",))

    assert (both, site.browser().open(link).status_code) == (303, 403)


def test_a_link_is_to_the_public_address(site: Site) -> None:
    """Whatever the request says."""
    supplier = Supplier(site)
    browser: Browser = supplier.admin

    page = browser.client.post(
        supplier.path("supplier"),
        data={"life": "1d"},
        headers={"Origin": "http://localhost", "X-Forwarded-Host": "evil.example"},
    )

    assert link_shown(page.text).startswith("/supplier/link?code=")
