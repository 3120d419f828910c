"""Deleting a token: what stops with it, and the name to type."""

from http import HTTPStatus

from flask import Response

from dashboard.pages import Page, changing, shown
from dashboard.views.tokens.one_token import id_of_page, token_of_page
from dashboard.visit import Visit
from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import Conflict
from schemas.folding import folded
from schemas.people import Role
from schemas.tokens.masking import masked_url
from schemas.tokens.tokens import Token
from store.request_log.listing import last_use_addresses
from store.tokens.cancellation import count_open

COUNTED = 10_000
"""Pending deliveries that are counted. More: the page takes longer. Fewer: "more than" says less."""


def ask_to_delete_token(visit: Visit, token_id: str) -> Response:
    """What would stop."""
    return _page(visit, token_of_page(visit, token_id))


def delete_token(visit: Visit, token_id: str) -> Response:
    """Revoke the token for good, if its name was typed."""
    token = token_of_page(visit, token_id)
    if not _is_name(visit.form.get("name", ""), token):
        fault = visit.say("This is not its name. Nothing was deleted.")
        return _page(visit, token, fault)
    parts = visit.parts
    cancelled = parts.tokens.revoke(id_of_page(token_id), parts.database.time(), visit.actor)
    for event_type, count in cancelled.items():
        parts.observer.settled(event_type, DeliveryState.CANCELLED, count)
    notice = visit.say("%(name)s is revoked for good. Its logs stay for a while.", name=token.name)
    return visit.go("/tokens", notice)


def _page(visit: Visit, token: Token, fault: str | None = None) -> Response:
    if token.revoked_at is not None:
        raise Conflict("this token is deleted already")
    callback_ids = [callback.id for callback in token.callbacks.values()]
    with visit.parts.database.read() as connection:
        pending = count_open(connection, callback_ids, COUNTED + 1)
        last_use = last_use_addresses(connection, [token.id]).get(token.id)
    return visit.render(
        "token_delete.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
        token=token,
        masked_url=masked_url,
        pending=pending,
        counted=COUNTED,
        last_use=last_use,
        fault=fault,
        typed=visit.form.get("name", ""),
    )


def _is_name(typed: str, token: Token) -> bool:
    """Return whether the name was typed: without regard to case, as names are searched."""
    return folded(typed.strip()) == folded(token.name.strip())


PAGES: tuple[Page, ...] = (
    shown("/tokens/<token_id>/delete", ask_to_delete_token, Role.ADMIN),
    changing("/tokens/<token_id>/delete", delete_token),
)
