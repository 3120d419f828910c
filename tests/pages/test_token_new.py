"""Creating a token: the form, what fills it, and the one page that shows its secrets."""

import datetime as dt

import pytest

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.people import Role
from schemas.times import to_rfc3339
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from store.tokens.listing import TokenFilter, list_tokens
from tests.kit.html_forms import form
from tests.kit.pages import Site
from tests.kit.site_tokens import a_token_of, main_of, secrets_in, send_form
from tests.kit.tokens import token_fields

NEW = "/tokens/new"


def _tokens(site: Site) -> list[Token]:
    with site.database.read() as connection:
        now = site.database.now(connection)
        return list_tokens(connection, site.vault, TokenFilter(), now, 100).rows


def test_a_token_is_created_as_the_form_says(site: Site) -> None:
    """Every field of the form arrives in the store."""
    browser = site.browser(Role.ADMIN)

    response = send_form(
        browser, NEW, NEW,
        name=" ACME CRM ", contact="ops@acme.example", zone="Europe/Rome",
        activates_on="2027-03-01", expires_on="2027-03-31",
        permission=["messages:send", "stats:read"], sees="some", more_channels="chn_1\r\nchn_2",
        url__message__received="https://crm.acme.example/hook",
    )  # fmt: skip

    (token,) = _tokens(site)
    assert response.status_code == 201
    assert (token.name, token.contact) == ("ACME CRM", "ops@acme.example")
    assert to_rfc3339(token.activates_at) == "2027-02-28T23:00:00.000Z"
    assert token.expires_at is not None
    assert to_rfc3339(token.expires_at) == "2027-03-31T22:00:00.000Z"
    assert token.permissions == {Permission.MESSAGES_SEND, Permission.STATS_READ}
    assert token.channels == {"chn_1", "chn_2"}
    assert [callback.url for callback in token.callbacks.values()] == [
        "https://crm.acme.example/hook"
    ]


def test_the_secrets_are_in_the_answer_and_nowhere_else(site: Site) -> None:
    """In no address, no cookie, no cache and no other page."""
    browser = site.browser(Role.ADMIN)

    response = send_form(browser, NEW, NEW, name="ACME", sees="all")

    (token,) = _tokens(site)
    assert [secret[:4] for secret in secrets_in(response.text)] == ["rbk_", "whse"]
    assert response.headers["Cache-Control"] == "no-store"
    assert "Location" not in response.headers
    assert not secrets_in(str(response.headers))
    for page in ("/tokens", f"/tokens/{token.id}", f"/tokens/{token.id}/permissions"):
        assert not secrets_in(browser.open(page).text)


def test_a_form_that_is_sent_twice_creates_one_token_and_shows_no_secret_again(site: Site) -> None:
    """A reload of the answer sends the form once more, and so may going back."""
    browser = site.browser(Role.ADMIN)
    sent = form(browser.open(NEW).text, NEW).filled(name="ACME", sees="all")
    assert browser.send(NEW, **sent).status_code == 201

    again = browser.send(NEW, **sent)

    assert again.status_code == 409
    assert not secrets_in(again.text)
    assert "sent before" in again.text
    assert len(_tokens(site)) == 1


def test_an_id_that_was_made_up_creates_nothing(site: Site) -> None:
    """Ids are given out by Ringback alone; the form comes back as it was, ready to be sent."""
    browser = site.browser(Role.ADMIN)

    response = send_form(browser, NEW, NEW, name="ACME", sees="all", key="tok_mine.0000")

    assert response.status_code == 422
    assert not _tokens(site)
    again = form(response.text, NEW)
    assert again.one("name") == "ACME"
    assert browser.send(NEW, **again.filled()).status_code == 201


def test_what_was_typed_survives_a_fault_and_the_fault_stands_next_to_its_field(
    site: Site,
) -> None:
    """Nothing has to be typed twice, dates included."""
    browser = site.browser(Role.ADMIN)
    typed = {
        "name": "A <b>name</b>", "contact": "not an address", "activates_on": "2027-03-02",
        "expires_on": "2027-03-01", "zone": "Europe/Rome", "permission": ["stats:read"],
        "sees": "some", "more_channels": "chn_1",
        "url__message__received": "ftp://x.example",
    }  # fmt: skip

    response = send_form(browser, NEW, NEW, **typed)

    assert response.status_code == 422
    assert not _tokens(site)
    sent = form(response.text, NEW)
    for name, value in typed.items():
        assert sent.fields[name.replace("__", ".")] == (
            value if isinstance(value, list) else [value]
        )
    content = main_of(response.text)
    for field in ("contact", "expires_on", "url.message.received"):
        assert f'id="fault-{field}"' in content
    assert content.count('aria-invalid="true"') == 3
    assert "<b>name</b>" not in content


def test_what_it_sees_must_be_chosen(site: Site) -> None:
    """Neither all nor nothing is a default: one shows everything, the other is useless."""
    browser = site.browser(Role.ADMIN)

    response = send_form(browser, NEW, NEW, name="ACME")

    assert response.status_code == 422
    assert "Choose what it may see" in response.text


def test_nothing_chosen_among_channels_means_nothing_seen(site: Site) -> None:
    """It is what the form says."""
    send_form(site.browser(Role.ADMIN), NEW, NEW, name="ACME", sees="some")

    (token,) = _tokens(site)
    assert token.channels == frozenset()


@pytest.mark.parametrize(
    ("preset", "permissions", "sees"),
    [
        ("webhooks", set(), "all"),
        ("gateway", {"tokens:introspect"}, "some"),
        ("publisher", {"events:publish"}, "some"),
        ("nothing", set(), "some"),
        (
            "read",
            {
                "conversations:read", "customers:read", "locations:read", "templates:read",
                "stats:read",
            },
            "all",
        ),
    ],
)  # fmt: skip
def test_a_preset_fills_the_switches(
    site: Site, preset: str, permissions: set[str], sees: str
) -> None:
    """Presets work without scripts, by their address."""
    page = site.browser(Role.ADMIN).open(f"{NEW}?preset={preset}&name=ACME").text

    filled = form(page, NEW)
    assert set(filled.fields.get("permission", [])) == permissions
    assert filled.fields["sees"] == [sees]
    assert filled.one("name") == "ACME"


def test_a_link_only_fills_the_form_and_says_where_it_came_from(site: Site) -> None:
    """A link in a mail must not make anyone create what they did not read."""
    browser = site.browser(Role.ADMIN)

    page = browser.open(
        f"{NEW}?name=%3Cscript%3Ealert(1)%3C/script%3E&permission=messages:send"
        "&permission=%3Cb%3Eroot&expires=2027-03-31&colour=red",
        headers={"Referer": "https://chat.example/suppliers"},
    ).text

    assert not _tokens(site)
    filled = form(page, NEW)
    assert filled.one("name") == "<script>alert(1)</script>"
    assert filled.fields["permission"] == ["messages:send"]
    assert filled.one("expires_on") == "2027-03-31"
    content = main_of(page)
    assert "A link on chat.example filled in this form" in content
    assert "permission=&lt;b&gt;root" in content
    assert "colour" in content
    assert "<script>alert" not in content


def test_one_like_another_copies_no_secret(site: Site) -> None:
    """Neither headers nor queries of addresses, which hold keys of the other supplier."""
    fields = token_fields("ACME CRM", Permission.STATS_READ, channels=["chn_1"])
    token = a_token_of(
        site, fields, {EventType.MESSAGE_RECEIVED: "https://x.example/hook?key=very-secret"}
    )
    browser = site.browser(Role.ADMIN)

    page = browser.open(f"{NEW}?like={token.id}").text

    filled = form(page, NEW)
    assert filled.one("name") == "ACME CRM (copy)"
    assert filled.fields["permission"] == ["stats:read"]
    assert (filled.fields["sees"], filled.fields["channel"]) == (["some"], ["chn_1"])
    assert filled.one("url.message.received") == "https://x.example/hook"
    assert "very-secret" not in page
    assert "add them by hand" in page


def test_one_like_a_token_that_never_was_is_not_found(site: Site) -> None:
    """An old link says so instead of showing an empty form."""
    assert site.browser(Role.ADMIN).open(f"{NEW}?like=tok_never").status_code == 404


def test_a_longest_life_asks_for_a_last_day(site: Site) -> None:
    """The policy holds on the pages as in the API."""
    site.use(max_life=dt.timedelta(days=30))
    browser = site.browser(Role.ADMIN)

    endless = send_form(browser, NEW, NEW, name="ACME", sees="all")

    assert endless.status_code == 422
    assert 'id="fault-expires_on"' in endless.text
    tomorrow = dt.datetime.fromtimestamp(site.database.time() / 1000, dt.UTC) + dt.timedelta(1)
    ending = send_form(
        browser, NEW, NEW, name="ACME", sees="all", expires_on=tomorrow.date().isoformat()
    )
    assert ending.status_code == 201


def test_a_viewer_has_no_form(site: Site) -> None:
    """Not even to look at: it could not be sent."""
    viewer = site.browser(Role.VIEWER)

    assert viewer.open(NEW).status_code == 403
    assert viewer.send(NEW, name="ACME", sees="all").status_code == 403
    assert not _tokens(site)


def test_two_tabs_create_two_tokens(site: Site) -> None:
    """The key belongs to a form, not to a person."""
    browser = site.browser(Role.ADMIN)
    first, second = (form(browser.open(NEW).text, NEW) for _ in range(2))

    for one in (first, second):
        assert browser.send(NEW, **one.filled(name="ACME", sees="all")).status_code == 201

    ids = {TokenId(token.id) for token in _tokens(site)}
    assert len(ids) == 2
