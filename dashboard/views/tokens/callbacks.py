"""The callbacks of a token: three cards, each with its own form. They are saved by the rules of
`PUT /v1/tokens/{id}/callbacks/{type}`.
"""

from dataclasses import replace
from http import HTTPStatus

from flask import Response

from dashboard.callbacks.cards import Pending, cards, held_words
from dashboard.callbacks.form import FORM, CallbackForm, Faults, fingerprint
from dashboard.callbacks.signing import OVERLAPS, USUAL_OVERLAP, also_signs_until
from dashboard.explaining.values import as_sentence
from dashboard.faults import fault_in_words
from dashboard.labels import event_type
from dashboard.pages import Page, changing, shown
from dashboard.views.tokens.one_token import token_of_page
from dashboard.visit import Visit
from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import Conflict, Invalid
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import parse_duration
from schemas.tokens.editions import edition
from schemas.tokens.fields import CallbackFields
from schemas.tokens.masking import masked_url
from schemas.tokens.tokens import Callback, Token, TokenState
from store.tokens.rows import ChangedMeanwhile
from web.callback_rules import require_callback
from web.models.bodies import PutCallback
from web.models.parsing import from_body, from_path
from web.models.queries import CallbackPath


def token_callbacks(visit: Visit, token_id: str) -> Response:
    """The page."""
    return callbacks_page(visit, token_of_page(visit, token_id), {})


def callbacks_page(
    visit: Visit, token: Token, pending: dict[EventType, Pending], status: int = HTTPStatus.OK
) -> Response:
    """Answer with the cards of a token."""
    return visit.render(
        "token_callbacks.html",
        status,
        token=token,
        state=token.state(visit.now),
        is_changeable=visit.is_admin and token.state(visit.now) is not TokenState.REVOKED,
        cards=cards(visit, token, pending),
        held_choices=held_words(visit),
        also_until=also_signs_until(token, visit.now),
        overlaps=OVERLAPS,
        overlap_words=_overlap_words(visit),
        usual_overlap=USUAL_OVERLAP,
    )


def save_callback(visit: Visit, token_id: str, kind: str) -> Response:
    """Create or change a callback."""
    path = callback_path(token_id, kind)
    token = token_of_page(visit, path.id)
    while True:
        try:
            form, faults = _save(visit, token, path.type)
        except ChangedMeanwhile as changed:  # perhaps not in what the form shows: once more
            token = changed.current
        else:
            break
    if faults:
        pending = {path.type: Pending(form, faults)}
        return callbacks_page(visit, token, pending, HTTPStatus.UNPROCESSABLE_ENTITY)
    name = event_type(visit, path.type)
    return _back(visit, path, visit.say("The callback for %(type)s is saved.", type=name))


def _save(visit: Visit, token: Token, kind: EventType) -> tuple[CallbackForm, Faults]:
    """Save what was sent, if the callback is as its form showed it. Return what is wrong, too.
    Raises ChangedMeanwhile when the token is no longer as it is given.
    """
    known = token.callbacks.get(kind)
    form = CallbackForm.typed(visit.form, known)
    fields, faults = _fields(visit, form, known)
    stored = fingerprint(known) if known else ""
    if form.was != stored:
        form = replace(form, was=stored)
        faults[FORM] = _changed_meanwhile(visit, known)
    if fields and not faults:
        try:
            visit.parts.callbacks.put(token.id, kind, fields, visit.actor, {edition(token)})
        except Conflict as conflict:
            faults[FORM] = as_sentence(fault_in_words(visit.say, conflict.detail))
    return form, faults


def delete_callback(visit: Visit, token_id: str, kind: str) -> Response:
    """Delete a callback, whose open deliveries are cancelled."""
    path = callback_path(token_id, kind)
    cancelled = visit.parts.callbacks.delete(TokenId(path.id), path.type, visit.actor)
    visit.parts.observer.settled(path.type, DeliveryState.CANCELLED, cancelled)
    name = event_type(visit, path.type)
    return _back(visit, path, visit.say("The callback for %(type)s is deleted.", type=name))


def enable_callback(visit: Visit, token_id: str, kind: str) -> Response:
    """Enable a callback that Ringback has disabled. Nothing else of it changes."""
    path = callback_path(token_id, kind)
    _, known = visit.parts.callbacks.get(TokenId(path.id), path.type)
    fields = CallbackFields(known.url, enabled=True)
    visit.parts.callbacks.put(TokenId(path.id), path.type, fields, visit.actor)
    name = event_type(visit, path.type)
    return _back(visit, path, visit.say("The callback for %(type)s is enabled.", type=name))


def callback_path(token_id: str, kind: str) -> CallbackPath:
    """Return what the address names. Raises NotFound."""
    return from_path(CallbackPath, {"id": token_id, "type": kind})


def _fields(
    visit: Visit, form: CallbackForm, known: Callback | None
) -> tuple[CallbackFields | None, Faults]:
    """Return what is to be stored, and what is wrong by field."""
    body, faults = form.body(known, visit.say)
    try:
        return require_callback(visit.parts.policy, from_body(PutCallback, body)), faults
    except Invalid as error:
        for fault in error.faults:
            words = as_sentence(fault_in_words(visit.say, fault.detail))
            faults.setdefault(form.field_of(fault), words)
    return None, faults


def _changed_meanwhile(visit: Visit, known: Callback | None) -> str:
    say = visit.say
    if known is None:
        return say("Someone deleted this callback meanwhile. Save again to set it as it is here.")
    return say(
        "Someone changed this callback meanwhile. It calls %(url)s now, is switched %(switch)s, what"
        " is held %(held)s, its headers: %(headers)s. Save again to set it as it is here.",
        url=masked_url(known.url),
        switch=say("on") if known.enabled else say("off"),
        held=held_words(visit)[known.on_resume],
        headers=", ".join(sorted(known.headers)) or say("none"),
    )


def _overlap_words(visit: Visit) -> dict[str, str]:
    span = visit.language.span
    lengths = {overlap: parse_duration(overlap).total_seconds() for overlap in OVERLAPS}
    return {
        overlap: span(seconds) if seconds else visit.say("no time: it ends at once")
        for overlap, seconds in lengths.items()
    }


def _back(visit: Visit, path: CallbackPath, notice: str) -> Response:
    # without a place of its own the address would keep that of the form
    return visit.go(f"/tokens/{path.id}/callbacks#content", notice)


_CALLBACK = "/tokens/<token_id>/callbacks/<kind>"

PAGES: tuple[Page, ...] = (
    shown("/tokens/<token_id>/callbacks", token_callbacks),
    changing(_CALLBACK, save_callback),
    changing(_CALLBACK + "/delete", delete_callback),
    changing(_CALLBACK + "/enable", enable_callback),
)
