"""Creating a token: the form, which links and other tokens can fill, and the one page that shows
its secrets.
"""

from dataclasses import replace
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from flask import Response, request

from dashboard.http.creation_key import new_key, token_id_in
from dashboard.pages import Page, changing, shown
from dashboard.tokens import new
from dashboard.tokens.access import MAX_LISTED, PLATFORMS, RINGBACKS_OWN, boxes
from dashboard.tokens.faults import FORM, Faults, by_field
from dashboard.tokens.new import Link, NewToken
from dashboard.tokens.presets import Preset, own_explanations, presets
from dashboard.views.tokens.one_token import day_choices, token_of_page
from dashboard.visit import Visit
from schemas.errors import Conflict, Invalid
from schemas.events.types import EventType
from schemas.people import Role
from schemas.tokens.fields import CallbackFields, TokenFields
from store.events.channels import list_channels
from store.tokens.tokens import NewSecrets
from web.callback_rules import require_callbacks
from web.models.bodies import CreateToken
from web.models.parsing import from_body
from web.token_fields import new_fields


class Origin(NamedTuple):
    """Where the values in the form come from, if the person did not type them."""

    host: str | None = None
    """The site with the link; None: not known."""
    is_link: bool = False
    unknown: tuple[str, ...] = ()
    """Parts of the link that mean nothing."""
    like: str | None = None
    """The name of the token that it is like."""
    has_secrets: bool = False
    """Whether that token has values that are not copied."""


TYPED = Origin()


def new_token(visit: Visit) -> Response:
    """The form."""
    link = Link(visit.query, visit.query.keys(), visit.zone, visit.say)
    if like_id := visit.query.get("like"):
        token = token_of_page(visit, like_id)
        name = visit.say("%(name)s (copy)", name=token.name)
        origin = Origin(like=token.name, has_secrets=new.has_secrets(token))
        form = new.like(token, visit.zone, name)
        if link.preset:
            form = replace(form, permissions=link.form.permissions, seen=link.form.seen)
        return _form(visit, form, origin, chosen=link.preset)
    origin = Origin(_referring_host(visit), link.is_given, tuple(link.unknown))
    return _form(visit, link.form, origin, chosen=link.preset)


def create_token_by_form(visit: Visit) -> Response:
    """Create the token. The answer shows its secrets, once: it has no address of its own."""
    typed = NewToken.typed(visit.form)
    token_id = token_id_in(visit.form.get("key", ""), visit.parts.cookie_keys)
    if token_id is None:
        fault = visit.say("This form was too old. Nothing was created yet: send it once more.")
        return _form(visit, typed, faults={FORM: fault})
    tree, faults = typed.body(visit.say, visit.now)
    created: NewSecrets | None = None
    try:
        fields, callbacks = _read(visit, tree)
        if not faults:
            tokens, now = visit.parts.tokens, visit.parts.database.time()
            created = tokens.create(fields, callbacks, now, visit.actor, token_id)
    except Invalid as invalid:
        faults = by_field(invalid.faults, visit.say) | faults
    except Conflict:
        return visit.render("token_created_before.html", HTTPStatus.CONFLICT, id=token_id)
    if created is None:
        return _form(visit, typed, faults=faults)
    return visit.render(
        "token_created.html", HTTPStatus.CREATED, created=created, is_new=True, until=None
    )


def _read(
    visit: Visit, tree: dict[str, object]
) -> tuple[TokenFields, dict[EventType, CallbackFields]]:
    """Return what a body says. Raises Invalid with the faults of all fields."""
    body = from_body(CreateToken, msgspec.json.encode(tree))
    fields = new_fields(body, visit.parts.database.time())
    faults = fields.faults()
    try:
        callbacks = require_callbacks(visit.parts.policy, body.callbacks or {})
    except Invalid as invalid:
        faults += invalid.faults
    if faults:
        raise Invalid("invalid token", faults=faults)
    return fields, callbacks


def _form(
    visit: Visit,
    form: NewToken,
    origin: Origin = TYPED,
    *,
    chosen: Preset | None = None,
    faults: Faults | None = None,
) -> Response:
    key = visit.form.get("key", "")
    with visit.parts.database.read() as connection:
        channels = list_channels(connection, MAX_LISTED).rows
    return visit.render(
        "token_new.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        key=key if token_id_in(key, visit.parts.cookie_keys) else new_key(visit.parts.cookie_keys),
        form=form,
        faults=faults or {},
        origin=origin,
        presets=[(preset, _preset_address(visit, preset)) for preset in presets(visit.say)],
        chosen=chosen,
        channels={channel.id: channel for channel in channels},
        boxes=boxes((channel.id for channel in channels), form.seen.ticked),
        permissions=(PLATFORMS, RINGBACKS_OWN),
        explanations=own_explanations(visit.say),
        types=tuple(EventType),
        **day_choices(visit),
    )


def _preset_address(visit: Visit, preset: Preset) -> str:
    """Return the address of this form with a preset. What a link filled stays."""
    kept = [pair for pair in visit.query.items(multi=True) if pair[0] != "preset"]
    return "/tokens/new?" + urlencode([*kept, ("preset", preset.name)])


def _referring_host(visit: Visit) -> str | None:
    """Return the other site whose link was followed, if the browser says so."""
    try:
        host = urlsplit(request.headers.get("Referer", "")).netloc
    except ValueError:  # a bracket that is not closed
        return None
    own = {request.host, urlsplit(visit.parts.public_url).netloc}
    return host if host not in {*own, ""} else None


PAGES: tuple[Page, ...] = (
    shown("/tokens/new", new_token, Role.ADMIN),
    changing("/tokens/new", create_token_by_form),
)
