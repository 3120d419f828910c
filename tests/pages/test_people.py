"""The people who may sign in, as administrators and viewers see them."""

import re
from http import HTTPStatus

import pytest

from schemas.passwords import is_password
from schemas.people import Role
from store.people.listing import list_people
from store.people.sessions import Sessions
from tests.kit.pages import PASSWORD, Browser, Site
from tests.kit.people import done_to, let_minutes_pass, sign_in
from tests.kit.tokens import TESTER

ADMIN, VIEWER, ZOE = "admin@example.com", "viewer@example.com", "zoe@example.com"


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.browser(Role.ADMIN)


def link_in(text: str) -> str:
    """The code of the link that a page shows."""
    found = re.search(r'value="http://localhost/sign-in/link\?code=([\w-]{43})"', text)
    assert found, text
    return found[1]


def test_everyone_sees_who_may_sign_in_and_what_was_done(site: Site) -> None:
    """Viewers, too; but no form."""
    page = site.browser(Role.VIEWER).open("/people").text

    assert f'<a href="/people/person?email=viewer%40example.com">{VIEWER}</a>' in page
    assert f">{ADMIN}</a>" in page
    assert "was added: Administrator" in page
    assert "signed in" in page
    assert "<form" not in page.partition("<main")[2]
    assert (
        "<form"
        not in site.browser(Role.VIEWER)
        .open(f"/people/person?email={ADMIN}")
        .text.partition("<main")[2]
    )


def test_a_person_is_added_by_a_link_that_is_shown_once(site: Site, admin: Browser) -> None:
    """On the answer itself: neither in an address nor in a cookie."""
    answer = admin.send("/people/add", email=" Zoe@Example.com ", role="admin")

    assert answer.status_code == HTTPStatus.OK
    code = link_in(answer.text)
    assert answer.headers["Cache-Control"] == "no-store"
    assert code not in str(answer.headers)
    assert 'data-copy="link"' in answer.text
    assert site.parts.people.get(ZOE).role is Role.ADMIN
    assert done_to(site.database, ZOE) == ["added", "link_created"]
    assert "has not signed in yet" in admin.open("/people").text
    for path in ("/people", f"/people/person?email={ZOE}"):
        assert code not in admin.open(path).text

    zoe = site.browser()
    assert zoe.send("/sign-in/link", code=code, password="password of zoe").status_code == 303
    assert zoe.send("/people/add", email="four@example.com").status_code == 200


@pytest.mark.parametrize(
    ("email", "said"),
    [
        ("zoe", "not an e-mail address"),
        ("", "not an e-mail address"),
        (f"{'z' * 250}@example.com", "not an e-mail address"),
        ("VIEWER@example.com", "viewer@example.com may sign in already"),
        ('"><b>x', "not an e-mail address"),
    ],
)
def test_an_address_that_cannot_be_added_is_said_next_to_its_field(
    site: Site, admin: Browser, email: str, said: str
) -> None:
    """With everything kept that was typed."""
    answer = admin.send("/people/add", email=email, role="admin")

    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true" aria-describedby="email-fault"' in answer.text
    assert '<option value="admin" selected>' in answer.text
    assert "<b>x" not in answer.text
    assert len(site.parts.people.all()) == 2


def test_a_role_that_is_not_chosen_is_the_one_that_may_do_less(site: Site, admin: Browser) -> None:
    """For a new person; and changes no one's by accident."""
    admin.send("/people/add", email=ZOE, role="boss")
    assert site.parts.people.get(ZOE).role is Role.VIEWER

    assert admin.send("/people/role", email=ADMIN, role="boss").status_code == 400
    assert site.parts.people.get(ADMIN).role is Role.ADMIN


def test_a_new_link_signs_in_who_forgot_the_password(site: Site, admin: Browser) -> None:
    """The old password works until the link is used."""
    code = link_in(admin.send("/people/link", email=VIEWER).text)
    assert site.browser(Role.VIEWER).open("/account").status_code == 200

    site.browser().send("/sign-in/link", code=code, password="another one")

    assert is_password("another one", site.parts.people.get(VIEWER).password_hash)
    assert not is_password(PASSWORD, site.parts.people.get(VIEWER).password_hash)


@pytest.mark.parametrize(
    ("path", "email"), [("/people/link", ADMIN), ("/people/link", VIEWER), ("/people/add", ZOE)]
)
def test_a_link_is_not_shown_to_someone_who_finds_the_browser_open(
    site: Site, admin: Browser, path: str, email: str
) -> None:
    """It would set the person's own password without the old one, or make an account to keep."""
    let_minutes_pass(site.database, 10)

    found = admin.send(path, email=email, role="admin")

    assert 'type="password"' in found.text
    assert "/sign-in/link" not in found.text
    assert site.parts.people.find(ZOE) is None
    asked = admin.send(path, email=email, role="admin", password=PASSWORD)
    assert link_in(asked.text)


def test_a_link_is_to_the_public_address_whatever_the_request_says(site: Site) -> None:
    """A forged `Host` must not send a secret elsewhere."""
    site.use(public_url="http://hooks.example/")
    admin = site.browser()
    admin.client.post("/sign-in", data={"email": ADMIN, "password": PASSWORD}, headers=FORGED)

    answer = admin.client.post("/people/link", data={"email": VIEWER}, headers=FORGED)

    assert "http://hooks.example/sign-in/link?code=" in answer.text
    assert "evil.example" not in answer.text


FORGED = {"Origin": "http://hooks.example", "Host": "localhost", "X-Forwarded-Host": "evil.example"}


def test_a_role_is_changed(site: Site, admin: Browser) -> None:
    """And the log says from what person."""
    answer = admin.send("/people/role", email=VIEWER, role="admin")

    assert answer.location == "/people/person?email=viewer%40example.com"
    assert "viewer@example.com is now: Administrator." in admin.open(answer.location).text
    assert site.parts.people.get(VIEWER).role is Role.ADMIN
    assert done_to(site.database, VIEWER)[-1] == "role_changed"


def test_the_last_administrator_stays_one(site: Site, admin: Browser) -> None:
    """And it is said what to do first."""
    for path, fields in (("/people/role", {"role": "viewer"}), ("/people/remove", {})):
        answer = admin.send(path, email=ADMIN, **fields)
        assert answer.status_code == 409
        assert "admin@example.com is the last administrator" in answer.text
        assert "Make another person an administrator first." in answer.text
    assert site.parts.people.get(ADMIN).role is Role.ADMIN
    assert admin.open("/account").status_code == 200


def test_an_administrator_who_is_not_the_last_may_step_down(site: Site, admin: Browser) -> None:
    """And sees at once that no form is left."""
    site.parts.people.set_role(VIEWER, Role.ADMIN, TESTER)

    answer = admin.send("/people/role", email=ADMIN, role="viewer")

    page = admin.open(answer.location).text
    assert "Your role has changed." in page
    assert "/people/add" not in page


def test_a_person_is_removed_with_everything_that_lets_them_in(site: Site, admin: Browser) -> None:
    """Sessions and links; what they did stays in the log."""
    viewer = site.browser(Role.VIEWER)
    code = link_in(admin.send("/people/link", email=VIEWER).text)
    asked = admin.open(f"/people/person?email={VIEWER}").text
    assert "Really remove viewer@example.com?" in asked

    answer = admin.send("/people/remove", email=VIEWER)

    assert "viewer@example.com is removed." in admin.open(answer.location).text
    assert viewer.open("/account").status_code == 303
    assert site.browser().send("/sign-in/link", code=code, password="x" * 9).status_code == 410
    assert "was removed" in admin.open("/people").text


def test_removing_oneself_signs_out(site: Site, admin: Browser) -> None:
    """There is another administrator."""
    site.parts.people.set_role(VIEWER, Role.ADMIN, TESTER)

    answer = admin.send("/people/remove", email=ADMIN)

    assert admin.open(answer.location).location == "/sign-in?next=/people"


def test_an_administrator_signs_someone_out_everywhere(site: Site, admin: Browser) -> None:
    """And themselves everywhere else."""
    viewer = site.browser(Role.VIEWER)
    here_too = site.browser(Role.ADMIN)
    admin.send("/people/end-sessions", email=VIEWER)
    answer = admin.send("/people/end-sessions", email=ADMIN)

    assert "1 session has ended." in admin.open(answer.location).text
    assert viewer.open("/account").status_code == 303
    assert here_too.open("/account").status_code == 303
    assert done_to(site.database, VIEWER)[-1] == "sessions_ended"


@pytest.mark.parametrize("path", ["link", "role", "remove", "end-sessions"])
def test_a_person_who_is_gone_meanwhile_is_said_to_be(admin: Browser, path: str) -> None:
    """Another administrator was faster."""
    answer = admin.send(f"/people/{path}", email="gone@example.com", role="viewer")

    assert answer.status_code == 404
    assert "may have removed them meanwhile" in answer.text
    assert admin.open("/people/person?email=gone@example.com").status_code == 404
    assert admin.open("/people/person").status_code == 404


def test_where_passwords_are_switched_off_no_page_makes_a_link(site: Site) -> None:
    """A person is added by their address alone."""
    admin = site.browser(Role.ADMIN)
    site.use(local_sign_in=False, openid=None)
    cookie = admin.client.get_cookie("ringback")
    assert cookie is not None
    admin = site.browser()
    admin.client.set_cookie("ringback", cookie.value)

    assert admin.send("/people/add", email=ZOE).status_code == 303
    assert admin.send("/people/link", email=ZOE).status_code == 409
    assert "/people/link" not in admin.open(f"/people/person?email={ZOE}").text
    assert done_to(site.database, ZOE) == ["added"]


def test_the_list_and_the_log_go_on_on_further_pages(
    site: Site, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page is bounded, however many people there are."""
    for number in range(60):
        site.parts.people.add(f"p{number:02}@example.com", Role.VIEWER, TESTER)
    seen: list[str] = []
    path = "/people"
    while True:
        page = admin.open(path).text
        assert len(page) < 100_000
        seen += re.findall(r'/people/person\?email=([\w%.]+)"', page)
        more = re.search(r'href="(\?cursor=[^"]+)" rel="next">More', page)
        if not more:
            break
        path = "/people" + more[1].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 62

    logged: list[str] = []
    path = "/people"
    while True:
        page = admin.open(path).text
        logged += re.findall(r"<strong>(p\d\d)@", page)
        more = re.search(r'href="(\?[^"]*log=[^"]+)" rel="next">Older', page)
        if not more:
            break
        path = "/people" + more[1].replace("&amp;", "&").partition("#")[0]
    assert sorted(logged) == [f"p{number:02}" for number in range(60)]
    assert admin.open("/people?log=nonsense").status_code == 422


def test_it_shows_when_someone_was_last_here(site: Site) -> None:
    """Also after they have signed out, as far as the log goes back."""
    now = site.database.time()
    made = sign_in(site.database, VIEWER, now - 50_000)

    def seen() -> int | None:
        with site.database.read() as connection:
            found = list_people(connection, now, 10).rows[-1]
        assert found.person.email == VIEWER
        return found.seen_at

    assert seen() == now - 50_000
    Sessions(site.database).touch(made.session, now)
    assert seen() == now - 50_000, "it is noted to a minute"
    site.parts.sessions.end_all(VIEWER, TESTER)
    assert seen() == now - 50_000
