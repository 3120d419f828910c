"""The pages Permissions and Visibility of a token."""

from dataclasses import replace

from dashboard.tokens.access import MAX_LISTED
from schemas.people import Role
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from tests.kit.html_forms import form
from tests.kit.pages import Site
from tests.kit.site_tokens import a_token_of, main_of, send_form
from tests.kit.tokens import TESTER, token_fields


def _now(site: Site, token: Token) -> Token:
    return site.parts.tokens.get(token.id)


def test_every_permission_has_a_switch_in_the_words_of_the_chat_platform(site: Site) -> None:
    """Administrators know labels, not scopes."""
    token = a_token_of(site)

    content = main_of(site.browser(Role.ADMIN).open(f"/tokens/{token.id}/permissions").text)

    assert content.count('role="switch"') == len(Permission)
    for permission in Permission:
        assert f"> {permission.label}</label>" in content


def test_switches_are_saved(site: Site) -> None:
    """On and off."""
    token = a_token_of(site, token_fields("ACME", Permission.STATS_READ, Permission.DATA_EXPORT))
    page = f"/tokens/{token.id}/permissions"
    browser = site.browser(Role.ADMIN)

    response = send_form(browser, page, page, permission=["stats:read", "messages:send"])

    assert response.status_code == 303
    assert _now(site, token).permissions == {Permission.STATS_READ, Permission.MESSAGES_SEND}
    send_form(browser, page, page, permission=None)
    assert _now(site, token).permissions == frozenset()


def test_a_preset_moves_the_switches_and_saves_nothing(site: Site) -> None:
    """Without scripts it is an address."""
    token = a_token_of(site, token_fields("ACME", Permission.MESSAGES_SEND))
    page = f"/tokens/{token.id}/permissions"

    text = site.browser(Role.ADMIN).open(f"{page}?preset=gateway").text

    filled = form(text, page)
    assert filled.fields["permission"] == ["tokens:introspect"]
    assert filled.fields["was"] == ["messages:send"]
    assert "Nothing is saved yet" in text
    assert _now(site, token).permissions == {Permission.MESSAGES_SEND}


def test_switches_that_two_people_moved_are_joined_and_shown(site: Site) -> None:
    """What the other one switched is marked, and saved only when the person says so."""
    token = a_token_of(site, token_fields("ACME", Permission.STATS_READ))
    page, browser = f"/tokens/{token.id}/permissions", site.browser(Role.ADMIN)
    sent = form(browser.open(page).text, page).filled(permission=["stats:read", "data:export"])
    theirs = frozenset({Permission.MESSAGES_SEND})
    site.parts.tokens.change(token.id, lambda was: replace(was, permissions=theirs), TESTER)

    conflict = browser.send(page, **sent)

    assert conflict.status_code == 412
    assert _now(site, token).permissions == theirs
    assert conflict.text.count("Saved by someone else meanwhile") == 2
    again = form(conflict.text, page)
    assert set(again.fields["permission"]) == {"data:export", "messages:send"}
    assert browser.send(page, **again.filled()).status_code == 303
    assert _now(site, token).permissions == {Permission.DATA_EXPORT, Permission.MESSAGES_SEND}


def test_channels_are_chosen_by_boxes_and_by_ids(site: Site) -> None:
    """Those without an event lately can still be named."""
    token = a_token_of(site, token_fields(channels=["chn_1", "chn_2"]))
    page = f"/tokens/{token.id}/visibility"

    response = send_form(
        site.browser(Role.ADMIN), page, page, channel=["chn_1"], more_channels="chn_9\n"
    )

    assert response.status_code == 303
    assert _now(site, token).channels == {"chn_1", "chn_9"}


def test_unticking_everything_is_nothing_and_said_so(site: Site) -> None:
    """Never all by accident."""
    token = a_token_of(site, token_fields(channels=["chn_1"]))
    page, browser = f"/tokens/{token.id}/visibility", site.browser(Role.ADMIN)

    response = send_form(browser, page, page, channel=None)

    assert _now(site, token).channels == frozenset()
    assert "No channel: it receives no webhooks" in browser.open(response.headers["Location"]).text


def test_the_choice_between_all_and_some_is_never_guessed(site: Site) -> None:
    """A form without it changes nothing."""
    token = a_token_of(site, token_fields(channels=["chn_1"]))
    page, browser = f"/tokens/{token.id}/visibility", site.browser(Role.ADMIN)

    response = send_form(browser, page, page, sees=None)

    assert response.status_code == 422
    assert _now(site, token).channels == {"chn_1"}
    send_form(browser, page, page, sees="all")
    assert _now(site, token).channels is None


def test_a_token_with_very_many_channels_keeps_those_without_a_box(site: Site) -> None:
    """The page shows some; saving it must not lose the others."""
    many = {f"chn_{number:05}" for number in range(3000)}
    token = a_token_of(site, token_fields(channels=many))
    page, browser = f"/tokens/{token.id}/visibility", site.browser(Role.ADMIN)
    opened = browser.open(page)
    assert len(opened.data) < 100_000
    boxes = form(opened.text, page).fields["channel"]
    assert len(boxes) == MAX_LISTED

    send_form(browser, page, page, channel=boxes[1:])

    assert _now(site, token).channels == many - {boxes[0]}


def test_a_visibility_that_another_person_changed_is_shown_before_it_is_replaced(
    site: Site,
) -> None:
    """The second sees both."""
    token = a_token_of(site, token_fields(channels=["chn_1"]))
    page, browser = f"/tokens/{token.id}/visibility", site.browser(Role.ADMIN)
    sent = form(browser.open(page).text, page).filled(more_channels="chn_mine")
    site.parts.tokens.change(token.id, lambda was: replace(was, channels=None), TESTER)

    conflict = browser.send(page, **sent)

    assert conflict.status_code == 412
    assert _now(site, token).channels is None
    assert "It is now: All channels" in conflict.text
    assert browser.send(page, **form(conflict.text, page).filled()).status_code == 303
    assert _now(site, token).channels == {"chn_1", "chn_mine"}


def test_too_long_an_id_of_a_channel_is_refused_with_what_was_typed(site: Site) -> None:
    """By the rule of the API."""
    token = a_token_of(site, token_fields(channels=["chn_1"]))
    page = f"/tokens/{token.id}/visibility"

    response = send_form(site.browser(Role.ADMIN), page, page, more_channels="x" * 300)

    assert response.status_code == 422
    assert 'id="fault-more_channels"' in response.text
    assert form(response.text, page).one("more_channels") == "x" * 300
    assert _now(site, token).channels == {"chn_1"}


def test_a_fault_in_between_does_not_hide_what_another_person_chose(site: Site) -> None:
    """The form that comes back with a fault is still made of what was seen before."""
    token = a_token_of(site, token_fields(channels=["chn_1"]))
    page, browser = f"/tokens/{token.id}/visibility", site.browser(Role.ADMIN)
    sent = form(browser.open(page).text, page).filled(more_channels="x" * 300)

    fault = browser.send(page, **sent)
    site.parts.tokens.change(token.id, lambda was: replace(was, channels=frozenset()), TESTER)
    mended = form(fault.text, page).filled(more_channels="chn_2")

    assert fault.status_code == 422
    assert browser.send(page, **mended).status_code == 412
    assert _now(site, token).channels == frozenset()


def test_a_viewer_sees_what_it_may_and_what_it_sees(site: Site) -> None:
    """Without switches."""
    token = a_token_of(site, token_fields("ACME", Permission.STATS_READ, channels=["chn_1"]))
    viewer = site.browser(Role.VIEWER)

    permissions = main_of(viewer.open(f"/tokens/{token.id}/permissions").text)
    visibility = main_of(viewer.open(f"/tokens/{token.id}/visibility").text)

    assert "Stats" in permissions
    assert "chn_1" in visibility
    assert "<form" not in permissions + visibility
