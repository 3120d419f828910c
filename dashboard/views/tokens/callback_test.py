"""A test of a callback: its result is put into the page, or shown as a page where scripts are off."""

from http import HTTPStatus

from flask import Response, request

from dashboard.callbacks.cards import Pending, card, sample_data
from dashboard.callbacks.report import Report, refused, refused_data, report_of
from dashboard.pages import Page, changing
from dashboard.views.tokens.callbacks import callback_path, callbacks_page
from dashboard.views.tokens.one_token import token_of_page
from dashboard.visit import Visit
from schemas.errors import InvalidEvent, Problem, StoreUnavailable
from schemas.events.events import Event
from schemas.events.given_data import event_to_test, given_data
from schemas.events.types import EventType
from schemas.ids import TokenId, delivery_id
from schemas.tokens.tokens import Callback, Token
from store.events.listing import get_event
from web.problems import as_problem


def try_callback(visit: Visit, token_id: str, kind: str) -> Response:
    """Have a dispatcher send a signed event now, and show what came of it."""
    path = callback_path(token_id, kind)
    token, callback = visit.parts.callbacks.get(TokenId(path.id), path.type)
    typed = visit.form.get("data", "").replace("\r\n", "\n")  # browsers write both
    data = typed.strip() or sample_data(path.type)
    status, report = tried(visit, token, callback, data)
    # the attempt may have changed the callback's health
    token = token_of_page(visit, path.id)
    pending = Pending(data=data, report=report)
    if not request.headers.get("HX-Request"):
        return callbacks_page(visit, token, {path.type: pending}, status)
    is_made = status == HTTPStatus.OK
    return visit.render(
        "callback_test.html",
        HTTPStatus.OK if is_made else HTTPStatus.UNPROCESSABLE_ENTITY,  # htmx shows these two
        card=card(visit, token, path.type, pending),
    )


def tried(visit: Visit, token: Token, callback: Callback, data: str) -> tuple[int, Report]:
    """Send a test with these data. Return the status of the answer, and what it says."""
    try:
        event = _event(callback.type, data)
        return HTTPStatus.OK, _send(visit, token, callback, event)
    except InvalidEvent as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, refused_data(visit, error)
    except (Problem, StoreUnavailable) as error:
        problem = as_problem(error)
        return problem.status, refused(visit, problem)


def _event(kind: EventType, data: str) -> Event:
    """Return the event to send, whose data are as they were typed. Raises InvalidEvent."""
    return event_to_test(kind, given_data(b'{"data":%b}' % data.encode()))


def _send(visit: Visit, token: Token, callback: Callback, event: Event) -> Report:
    parts = visit.parts
    attempt = parts.callback_tests.send(token, callback, event, parts.timeout_s)
    with parts.database.read() as connection:
        stored = get_event(connection, event.id)
    body = stored.body if stored else b""
    return report_of(visit, attempt, callback.url, body, delivery_id(event.id, callback.id))


PAGES: tuple[Page, ...] = (changing("/tokens/<token_id>/callbacks/<kind>/test", try_callback),)
