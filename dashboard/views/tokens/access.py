"""What a token may do, and whose data it may see."""

from http import HTTPStatus

import msgspec
from flask import Response

from dashboard.pages import Page, changing, shown
from dashboard.tokens.access import (
    ALL,
    MAX_LISTED,
    PLATFORMS,
    RINGBACKS_OWN,
    SOME,
    Seen,
    boxes,
    fingerprint,
    known_permissions,
)
from dashboard.tokens.faults import Faults, by_field
from dashboard.tokens.presets import NOTHING, own_explanations, preset, presets
from dashboard.tokens.words import Words
from dashboard.views.tokens.one_token import EDITION, save, token_of_page
from dashboard.visit import Visit
from schemas.errors import Invalid
from schemas.tokens.editions import edition
from schemas.tokens.fields import TokenFields
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from store.events.channels import list_channels
from store.tokens.rows import ChangedMeanwhile
from web.models.bodies import PatchToken
from web.models.parsing import from_body
from web.token_fields import edited

_WAS = "was"
"""The hidden field with what a form showed when it was loaded."""


def token_permissions(visit: Visit, token_id: str) -> Response:
    """The switches. A preset only moves them: nothing is saved by it."""
    token = token_of_page(visit, token_id)
    chosen = preset(visit.query.get("preset", ""), visit.say)
    return _permissions_page(visit, token, chosen.permissions if chosen else token.permissions)


def save_token_permissions(visit: Visit, token_id: str) -> Response:
    """Save the switches."""
    sent = known_permissions(visit.form.getlist("permission"))
    before = known_permissions(visit.form.getlist(_WAS))
    body = PatchToken(permissions=sorted(sent))
    try:
        token = save(
            visit,
            token_id,
            lambda fields: edited(fields, body),
            lambda token: token.permissions == before,
        )
    except ChangedMeanwhile as changed:
        theirs = changed.current.permissions
        # a switch that one person moved and the other did not is as the first one left it
        joined = (theirs & sent) | (theirs - before) | (sent - before)
        return _permissions_page(visit, changed.current, joined, theirs ^ before)
    held = Words(visit).permissions(token.permissions)
    notice = visit.say("Saved. It may do now: %(permissions)s.", permissions=held)
    return visit.go(f"/tokens/{token.id}/permissions", notice)


def token_visibility(visit: Visit, token_id: str) -> Response:
    """The channels."""
    token = token_of_page(visit, token_id)
    return _visibility_page(visit, token, Seen.of(token.channels))


def save_token_visibility(visit: Visit, token_id: str) -> Response:
    """Save the channels."""
    seen = Seen.typed(visit.form)
    if seen.sees not in {ALL, SOME}:
        faults = {"sees": visit.say("Choose what it may see: all channels, or only some.")}
        return _visibility_page(visit, token_of_page(visit, token_id), seen, faults)

    def edit(fields: TokenFields) -> TokenFields:
        channels = seen.channels(fields.channels)
        tree = {"visibility": {"channels": None if channels is None else sorted(channels)}}
        return edited(fields, from_body(PatchToken, msgspec.json.encode(tree)))

    try:
        token = save(
            visit,
            token_id,
            edit,
            lambda token: fingerprint(token.channels) == visit.form.get(_WAS),
        )
    except Invalid as invalid:
        faults = by_field(invalid.faults, visit.say)
        return _visibility_page(visit, token_of_page(visit, token_id), seen, faults)
    except ChangedMeanwhile as changed:
        return _visibility_page(visit, changed.current, seen, is_changed=True)
    sees = Words(visit).sees(token.channels)
    return visit.go(f"/tokens/{token.id}/visibility", visit.say("Saved. %(sees)s.", sees=sees))


def _permissions_page(
    visit: Visit,
    token: Token,
    held: frozenset[Permission],
    changed: frozenset[Permission] | None = None,
) -> Response:
    """The page. `changed`: what another person switched meanwhile."""
    on, off = visit.say("on"), visit.say("off")
    return visit.render(
        "token_permissions.html",
        HTTPStatus.OK if changed is None else HTTPStatus.PRECONDITION_FAILED,
        token=token,
        edition=edition(token),
        held=held,
        is_changed=changed is not None,
        stored={one: on if one in token.permissions else off for one in changed or ()},
        groups=(PLATFORMS, RINGBACKS_OWN),
        explanations=own_explanations(visit.say),
        presets=[one for one in presets(visit.say) if one.name != NOTHING],
        chosen=visit.query.get("preset"),
        words=Words(visit),
    )


def _visibility_page(
    visit: Visit,
    token: Token,
    seen: Seen,
    faults: Faults | None = None,
    *,
    is_changed: bool = False,
) -> Response:
    with visit.parts.database.read() as connection:
        channels = list_channels(connection, MAX_LISTED).rows
    stored = token.channels or frozenset()
    shown_boxes = boxes((channel.id for channel in channels), seen.ticked | stored)
    listed = [channel_id for channel_id in shown_boxes if channel_id in stored]
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return visit.render(
        "token_visibility.html",
        HTTPStatus.PRECONDITION_FAILED if is_changed else status,
        token=token,
        # a fault changes nothing about what the person has seen
        edition=visit.form.get(EDITION, "") if faults else edition(token),
        fingerprint=visit.form.get(_WAS, "") if faults else fingerprint(token.channels),
        seen=seen,
        faults=faults or {},
        is_changed=is_changed,
        boxes=shown_boxes,
        channels={channel.id: channel for channel in channels},
        listed=listed,
        unlisted=len(stored) - len(listed),
        words=Words(visit),
    )


PAGES: tuple[Page, ...] = (
    shown("/tokens/<token_id>/permissions", token_permissions),
    changing("/tokens/<token_id>/permissions", save_token_permissions),
    shown("/tokens/<token_id>/visibility", token_visibility),
    changing("/tokens/<token_id>/visibility", save_token_visibility),
)
