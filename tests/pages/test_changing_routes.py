"""Every address that changes something, taken from the application's own table: who may not use it
changes nothing. A new one cannot be forgotten.
"""

from collections.abc import Iterator, Mapping

import pytest
import sqlalchemy as sa
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from schemas.people import Role
from store import tables
from tests.kit.pages import ORIGIN, Browser, Site
from tests.kit.tokens import TESTER, token_fields

SAFE = {"GET", "HEAD", "OPTIONS"}

OPEN = {"/sign-in", "/sign-in/link", "/sign-out"}
"""What people may send before they have signed in."""

OWN = {
    "/account/preferences",
    "/account/password",
    "/account/end-session",
    "/account/end-other-sessions",
    "/views",
    "/views/forget",
}
"""What a viewer may change: nothing but their own account."""

BY_LINK = "/supplier/<token_id>"
"""What the addresses begin with at which a supplier needs a link, and nothing else counts."""

SEEN_BY_ALL = {
    "/supplier/link",
    "/sign-in",
    "/sign-in/link",
    "/sign-in/openid",
    "/sign-in/openid/return",
    "/static/<digest>/<path:name>",
}
"""What is shown to people who have not signed in."""

FROM_ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "another site": {"Origin": "https://evil.example"},
    "another site, as newer browsers say it": {
        "Origin": "https://evil.example",
        "Sec-Fetch-Site": "cross-site",
    },
    "a site that forges the origin": {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    "another host of the domain": {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
    "a sandboxed frame": {"Origin": "null"},
    "another port": {"Origin": ORIGIN + ":8081"},
    "a name that begins alike": {"Origin": ORIGIN + ".evil.example"},
    "no browser's form": {},
}


@pytest.fixture
def filled(site: Site) -> Site:
    """Pages with something to change."""
    site.parts.tokens.create(token_fields("ACME"), {}, site.database.time(), TESTER)
    return site


def changing(site: Site) -> Iterator[tuple[str, str, str]]:
    """Method, rule and an address of each changing route."""
    for rule in site.app.url_map.iter_rules():
        for method in (rule.methods or set()) - SAFE:
            yield method, rule.rule, address(site, rule)


def address(site: Site, rule: Rule) -> str:
    """An address that fits a rule: where there is something, of a token that there is."""
    with site.database.read() as connection:
        token = connection.scalar(sa.select(tables.tokens.c.id)) or "tok_1"
    known = {"token": token, "token_id": token, "id": token, "type": "message.received"}
    values = {
        name: 1 if type(converter).__name__ == "IntegerConverter" else known.get(name, token)
        for name, converter in rule._converters.items()
    }
    return site.app.url_map.bind("localhost").build(rule.endpoint, values, method=None)


def everything(site: Site) -> dict[str, list[str]]:
    """All rows of all tables."""
    with site.database.read() as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(sa.select(table)))
            for table in tables.metadata.sorted_tables
        }


def sent(browser: Browser, method: str, path: str, headers: Mapping[str, str]) -> TestResponse:
    """The answer to a form with plausible fields."""
    fields = {
        "email": "viewer@example.com",
        "role": "admin",
        "password": "a new password",
        "name": "changed",
        "confirm": "ACME",
        "url": "https://example.com/",
    }
    return browser.client.open(path, method=method, data=fields, headers=headers)


def test_there_are_changing_routes(filled: Site) -> None:
    """Else the tests below would look at nothing."""
    rules = {rule for _, rule, _ in changing(filled)}

    assert OPEN | OWN | {"/people/add", "/people/remove"} <= rules
    assert any(rule.startswith(BY_LINK) for rule in rules)


def test_a_viewer_changes_nothing(filled: Site) -> None:
    """403 at every one, whatever was sent; the check is not on the button."""
    browser = filled.browser(Role.VIEWER)
    before = everything(filled)

    answers = {
        (method, rule): sent(browser, method, path, {"Origin": ORIGIN}).status_code
        for method, rule, path in changing(filled)
        if rule not in OPEN | OWN
    }

    assert answers == dict.fromkeys(answers, 403)
    assert everything(filled) == before


def test_who_has_not_signed_in_changes_nothing(filled: Site) -> None:
    """401 at every one, with the page for signing in; where a link is needed 403."""
    browser = filled.browser()
    before = everything(filled)

    answers = {
        (method, rule): sent(browser, method, path, {"Origin": ORIGIN}).status_code
        for method, rule, path in changing(filled)
        if rule not in OPEN
    }

    assert answers == {asked: 403 if asked[1].startswith(BY_LINK) else 401 for asked in answers}
    assert everything(filled) == before


@pytest.mark.parametrize("headers", FROM_ELSEWHERE.values(), ids=FROM_ELSEWHERE.keys())
def test_no_other_site_changes_anything(filled: Site, headers: Mapping[str, str]) -> None:
    """403 at every one, with an administrator's session: also for signing in and out."""
    browser = filled.browser(Role.ADMIN)
    before = everything(filled)

    answers = {
        (method, rule): sent(browser, method, path, headers).status_code
        for method, rule, path in changing(filled)
    }

    assert answers == dict.fromkeys(answers, 403)
    assert everything(filled) == before


def test_the_page_itself_may_change_things(filled: Site) -> None:
    """The counter-check: with the right origin an administrator is let through at every one."""
    ours = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
    for method, rule, path in changing(filled):
        answer = sent(filled.browser(Role.ADMIN), method, path, ours)
        assert answer.status_code not in {401, 405, 500}, (rule, answer.text)
        assert "was not sent from a page of Ringback" not in answer.text, rule
        assert "but not change it" not in answer.text, rule


def test_every_page_asks_those_to_sign_in_who_have_not(filled: Site) -> None:
    """And shows nothing before. For a link no page can ask."""
    browser = filled.browser()
    answers = {
        rule.rule: browser.open(address(filled, rule)).status_code
        for rule in filled.app.url_map.iter_rules()
        if "GET" in (rule.methods or set()) and rule.rule not in SEEN_BY_ALL
    }

    assert answers == {rule: 403 if rule.startswith(BY_LINK) else 303 for rule in answers}
