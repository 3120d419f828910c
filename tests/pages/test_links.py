"""Links that sign in once: a person's first one, and the first administrator's."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.errors import StoreUnavailable
from schemas.passwords import is_password
from schemas.people import Role
from store.people.links import LINK_VALID_MS
from tests.kit.pages import PASSWORD, Browser, Site
from tests.kit.people import done_to
from tests.kit.tokens import TESTER

VIEWER = "viewer@example.com"
NEW = "another password"


@pytest.fixture
def code(site: Site) -> str:
    """Of the viewer's link."""
    return site.parts.links.create(VIEWER, LINK_VALID_MS, TESTER)


@pytest.fixture
def first(empty: Site) -> str:
    """Of the first administrator's link."""
    return empty.parts.links.create(None, LINK_VALID_MS, TESTER)


@pytest.fixture
def empty(site: Site) -> Site:
    """Pages without an administrator."""
    from store.tables import people

    with site.database.write() as connection:
        connection.execute(people.delete())
    return site


def is_in(browser: Browser) -> bool:
    return browser.open("/account").status_code == 200


def test_looking_at_a_link_uses_nothing_up(site: Site, code: str) -> None:
    """Programs that scan mail open every link before the person does."""
    before = done_to(site.database, VIEWER)
    for _ in range(3):
        page = site.browser().open("/sign-in/link", query_string={"code": code})
        assert page.status_code == 200
        assert f'value="{VIEWER}"' in page.text
        assert "Set-Cookie" not in page.headers
    site.browser().client.head("/sign-in/link", query_string={"code": code})

    assert done_to(site.database, VIEWER) == before
    browser = site.browser()
    assert browser.send("/sign-in/link", code=code, password=NEW).status_code == 303
    assert is_in(browser)


def test_a_link_sets_a_password_and_ends_every_other_session(site: Site, code: str) -> None:
    """Someone else may have had the old one."""
    old, browser = site.browser(Role.VIEWER), site.browser()

    response = browser.send(
        "/sign-in/link", code=code, password=NEW, email="admin@example.com", zone="Europe/Rome"
    )

    assert (response.status_code, response.location) == (303, "/")
    person = site.parts.people.get(VIEWER)
    assert is_password(NEW, person.password_hash)
    assert person.zone == "Europe/Rome"
    assert not is_password(NEW, site.parts.people.get("admin@example.com").password_hash)
    assert is_in(browser)
    assert not is_in(old)
    assert done_to(site.database, VIEWER)[-2:] == ["password_set", "signed_in"]


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "at least 8 characters"),
        ("1234567", "at least 8 characters"),
        ("x" * 1025, "too long"),
        ("é" * 513, "too long"),
    ],
)
def test_a_password_that_cannot_be_taken_leaves_the_link_alive(
    site: Site, code: str, password: str, said: str
) -> None:
    """The fault is said next to the field, and the password is not repeated."""
    browser = site.browser()

    response = browser.send("/sign-in/link", code=code, password=password)

    assert response.status_code == 422
    assert said in response.text
    assert 'aria-describedby="password-fault password-help"' in response.text
    assert not password or password not in response.text
    assert browser.send("/sign-in/link", code=code, password=NEW).status_code == 303


def test_a_link_works_once(site: Site, code: str) -> None:
    """The second one learns what to do."""
    assert site.browser().send("/sign-in/link", code=code, password=NEW).status_code == 303

    for response in (
        site.browser().open("/sign-in/link", query_string={"code": code}),
        site.browser().send("/sign-in/link", code=code, password="third password"),
    ):
        assert response.status_code == 410
        assert "ask an administrator for a new link" in response.text
        assert "Set-Cookie" not in response.headers
    assert is_password(NEW, site.parts.people.get(VIEWER).password_hash)


@pytest.mark.parametrize("code", ["", "x", "\0", "é", "x" * 10_000])
def test_what_is_no_link_opens_nothing(site: Site, code: str) -> None:
    """Whatever is in it."""
    assert site.browser().open("/sign-in/link", query_string={"code": code}).status_code == 410
    assert site.browser().send("/sign-in/link", code=code, password=NEW).status_code == 410


def test_a_link_that_has_expired_opens_nothing(site: Site) -> None:
    """After a day."""
    code = site.parts.links.create(VIEWER, -1, TESTER)

    assert site.browser().open("/sign-in/link", query_string={"code": code}).status_code == 410
    assert site.browser().send("/sign-in/link", code=code, password=NEW).status_code == 410


def test_a_link_of_someone_who_was_removed_opens_nothing(site: Site, code: str) -> None:
    """Nor does it when they are added again."""
    site.parts.people.remove(VIEWER, TESTER)
    site.parts.people.add(VIEWER, Role.VIEWER, TESTER)

    assert site.browser().send("/sign-in/link", code=code, password=NEW).status_code == 410


def test_a_link_signs_one_of_many_in_at_the_same_time(site: Site, code: str) -> None:
    """Someone forwarded it."""

    def use(number: int) -> int:
        browser = Browser(site)
        return browser.send("/sign-in/link", code=code, password=f"{NEW} {number}").status_code

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(use, range(4)))

    assert sorted(answers) == [303, 410, 410, 410]
    winner = answers.index(303)
    assert is_password(f"{NEW} {winner}", site.parts.people.get(VIEWER).password_hash)


def test_an_outage_while_a_link_is_used_leaves_it_alive(
    site: Site, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Password and link change together, or not at all."""

    def fail(*_: object) -> None:
        raise StoreUnavailable("pulled out")

    with monkeypatch.context() as patched:
        patched.setattr("store.people.redeeming.record", fail)
        assert site.browser().send("/sign-in/link", code=code, password=NEW).status_code == 503

    assert is_password(PASSWORD, site.parts.people.get(VIEWER).password_hash)
    assert site.browser().send("/sign-in/link", code=code, password=NEW).status_code == 303


def test_the_first_link_makes_the_first_administrator(empty: Site, first: str) -> None:
    """With the address that is typed, and a password that may be chosen later."""
    browser = empty.browser()
    page = browser.open("/sign-in/link", query_string={"code": first})
    assert 'value="admin@localhost"' in page.text
    assert "You are the first administrator." in page.text

    response = browser.send("/sign-in/link", code=first, email=" Ann@Example.com", password="")

    assert response.status_code == 303
    assert empty.parts.people.get("ann@example.com").role is Role.ADMIN
    assert empty.parts.people.get("ann@example.com").password_hash is None
    assert browser.open("/people").status_code == 200
    assert done_to(empty.database, "ann@example.com") == ["added", "signed_in"]


def test_the_first_administrator_may_choose_a_password_at_once(empty: Site, first: str) -> None:
    """It is checked like any."""
    browser = empty.browser()
    fields = {"code": first, "email": "ann@example.com"}
    assert browser.send("/sign-in/link", **fields, password="short").status_code == 422
    assert browser.send("/sign-in/link", **fields | {"email": "no address"}).status_code == 422

    assert browser.send("/sign-in/link", **fields, password=NEW).status_code == 303

    assert is_password(NEW, empty.parts.people.get("ann@example.com").password_hash)


def test_a_first_link_is_worth_nothing_once_there_is_an_administrator(
    empty: Site, first: str
) -> None:
    """It may lie in a terminal, or in a log, for ever."""
    empty.parts.people.add("boss@example.com", Role.ADMIN, TESTER)

    for response in (
        empty.browser().open("/sign-in/link", query_string={"code": first}),
        empty.browser().send("/sign-in/link", code=first, email="eve@example.com"),
    ):
        assert response.status_code == 410
    assert [person.email for person in empty.parts.people.all()] == ["boss@example.com"]


def test_two_first_links_make_one_administrator(empty: Site) -> None:
    """Each start may have printed one, and two people may use them at the same time."""
    codes = [empty.parts.links.create(None, LINK_VALID_MS, TESTER) for _ in range(4)]

    def use(number: int) -> int:
        email = f"{number}@example.com"
        return (
            Browser(empty)
            .send("/sign-in/link", code=codes[number], email=email)
            .status_code
        )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(use, range(4)))

    assert sorted(answers) == [303, 410, 410, 410]
    assert [person.email for person in empty.parts.people.all()] == [
        f"{answers.index(303)}@example.com"
    ]


def test_a_viewer_is_not_made_the_first_administrator_by_a_typed_address(
    empty: Site, first: str
) -> None:
    """Someone added viewers before: the link lives on, and says so."""
    empty.parts.people.add(VIEWER, Role.VIEWER, TESTER)

    response = empty.browser().send("/sign-in/link", code=first, email=VIEWER)

    assert response.status_code == 422
    assert "viewer@example.com is known already, as a viewer" in response.text
    assert empty.parts.people.get(VIEWER).role is Role.VIEWER
    assert (
        empty.browser().send("/sign-in/link", code=first, email="a@example.com").status_code == 303
    )


def test_where_passwords_are_switched_off_a_link_signs_in_without_one(
    site: Site, code: str
) -> None:
    """The command line makes them, for the day when the provider is away. It leaves no password."""
    site.use(local_sign_in=False)
    before = site.parts.people.get(VIEWER).password_hash
    browser = site.browser()
    page = browser.open("/sign-in/link", query_string={"code": code})
    assert 'type="password"' not in page.text

    assert browser.send("/sign-in/link", code=code, password=NEW).status_code == 303

    assert is_in(browser)
    assert site.parts.people.get(VIEWER).password_hash == before
    assert browser.send("/sign-in/link", code=code).status_code == 410


def test_a_link_replaces_the_one_who_was_signed_in(site: Site, code: str) -> None:
    """The browser is the person's whose link it is from then on."""
    browser = site.browser(Role.ADMIN)

    browser.send("/sign-in/link", code=code, password=NEW)

    assert browser.send("/people/add", email="zoe@example.com").status_code == 403
    assert done_to(site.database, "admin@example.com")[-1] == "signed_out"
