"""One token: its name, contact and days; suspending and resuming it; a new secret."""

from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
from flask import Response

from dashboard.pages import Page, changing, shown
from dashboard.tokens import details
from dashboard.tokens.days import read_zone
from dashboard.tokens.details import Details
from dashboard.tokens.faults import Faults, by_field
from dashboard.tokens.words import Words
from dashboard.views.tokens.one_token import EDITION, day_choices, id_of_page, save, token_of_page
from dashboard.visit import Visit
from schemas.errors import Invalid
from schemas.tokens.editions import edition
from schemas.tokens.fields import TokenFields
from schemas.tokens.tokens import Token
from store.request_log.listing import last_use_addresses
from store.tokens import audit_log
from store.tokens.rows import ChangedMeanwhile
from web.models.bodies import PatchToken, Regenerate
from web.models.parsing import from_body
from web.token_fields import edited

OVERLAPS = ("0s", "1h", "24h", "7d")
"""How long the replaced secret may stay valid, to choose from."""


def token_details(visit: Visit, token_id: str) -> Response:
    """The page."""
    return _page(visit, token_of_page(visit, token_id))


def save_token_details(visit: Visit, token_id: str) -> Response:
    """Save the fields. What another person saved meanwhile is shown, and not overwritten."""
    typed, before = Details.typed(visit.form), Details.shown(visit.form)
    days, faults = typed.read(visit.say)

    def edit(fields: TokenFields) -> TokenFields:
        body = details.body(typed, days, fields, _zone(visit, before.zone), visit.now)
        patched = edited(fields, from_body(PatchToken, msgspec.json.encode(body)))
        if faults:
            raise Invalid("there is no such day or zone", faults=patched.faults())
        return patched

    try:
        token = save(visit, token_id, edit, lambda token: _shown(visit, token, before) == before)
    except Invalid as invalid:
        faults = by_field(invalid.faults, visit.say) | faults
        return _page(visit, token_of_page(visit, token_id), typed, before, faults)
    except ChangedMeanwhile as changed:
        theirs = _shown(visit, changed.current, before)
        joined, stored = details.merged(typed, before, theirs)
        return _page(visit, changed.current, joined, theirs, stored=stored)
    ends = Words(visit, days.zone).ends(token)
    is_own = days.zone.key == visit.zone.key
    address = f"/tokens/{token.id}" + ("" if is_own else f"?zone={quote(days.zone.key)}")
    return visit.go(address, visit.say("Saved. %(ends)s.", ends=ends))


def suspend_token(visit: Visit, token_id: str) -> Response:
    """Suspend the token."""
    return _switch(
        visit, token_id, visit.say("Suspended. It is valid no more, until you resume it.")
    )


def resume_token(visit: Visit, token_id: str) -> Response:
    """Resume the token."""
    return _switch(
        visit,
        token_id,
        visit.say("Resumed. What waited is sent now, unless its callback says otherwise."),
        enabled=True,
    )


def regenerate_token_by_form(visit: Visit, token_id: str) -> Response:
    """Replace the token. The answer shows the new one, once: it has no address of its own."""
    overlap = {"overlap": visit.form.get("overlap", OVERLAPS[0])}
    body = from_body(Regenerate, msgspec.json.encode(overlap))
    parts, found_id = visit.parts, id_of_page(token_id)
    now = parts.database.time()
    try:
        created = parts.tokens.regenerate(
            found_id, body.overlap, now, visit.actor, {visit.form.get(EDITION, "")}
        )
    except ChangedMeanwhile as changed:
        return _page(visit, changed.current, again=True)
    until = None if not body.overlap else created.token.hashes[0].until
    return visit.render("token_created.html", created=created, until=until, is_new=False)


def _switch(visit: Visit, token_id: str, notice: str, *, enabled: bool = False) -> Response:
    """Suspend or resume the token. Doing so twice changes nothing."""
    parts = visit.parts
    parts.tokens.change(
        id_of_page(token_id), lambda fields: replace(fields, enabled=enabled), visit.actor
    )
    return visit.go(f"/tokens/{token_id}", notice)


def _page(
    visit: Visit,
    token: Token,
    form: Details | None = None,
    shown_before: Details | None = None,
    faults: Faults | None = None,
    stored: dict[str, str] | None = None,
    *,
    again: bool = False,
) -> Response:
    """The page. `stored`: what another person saved meanwhile, by field. `again`: a new secret was
    asked for on a page that showed an older one.
    """
    zone = _zone(visit, form.zone if form else visit.query.get("zone", ""))
    fresh, words = Details.of(TokenFields.of(token), zone), Words(visit, zone)
    with visit.parts.database.read() as connection:
        last_use = last_use_addresses(connection, [token.id]).get(token.id)
        is_changed = stored is not None or again
        changes = audit_log.list_changes(connection, token.id, 1).rows if is_changed else []
    return visit.render(
        "token_details.html",
        _status(faults, is_changed=is_changed),
        token=token,
        state=token.state(visit.now),
        words=words,
        day_words={
            "starts": visit.say("%(now)s. Another day means its start.", now=words.starts(token)),
            "ends": visit.say("%(now)s. Another day means its end.", now=words.ends(token)),
        },
        last_use=last_use,
        edition=visit.form.get(EDITION, "") if faults else edition(token),
        form=form or fresh,
        was=shown_before or fresh,
        faults=faults or {},
        stored=stored or {},
        again=again,
        change=changes[0] if changes else None,
        **day_choices(visit),
    )


def _status(faults: Faults | None, *, is_changed: bool) -> HTTPStatus:
    if is_changed:
        return HTTPStatus.PRECONDITION_FAILED
    return HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK


def _shown(visit: Visit, token: Token, before: Details) -> Details:
    """Return a token as the form had shown it, in the zone of that form."""
    return Details.of(TokenFields.of(token), _zone(visit, before.zone))


def _zone(visit: Visit, name: str) -> ZoneInfo:
    """Return the zone of this name; the person's where there is none."""
    try:
        return read_zone(name)
    except ValueError:
        return visit.zone


PAGES: tuple[Page, ...] = (
    shown("/tokens/<token_id>", token_details),
    changing("/tokens/<token_id>", save_token_details),
    changing("/tokens/<token_id>/suspend", suspend_token),
    changing("/tokens/<token_id>/resume", resume_token),
    changing("/tokens/<token_id>/regenerate", regenerate_token_by_form),
)
