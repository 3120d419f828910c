"""Events: publish, list, show. `publish_event` is the hot path: it does nothing that a backend does
not need.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar
from wsgiref.types import WSGIEnvironment

from flask import Response

from api.delivery_serializers import recipients_answer
from api.http.bodies import MAX_BATCH_BYTES, problem_of, read_json_body
from api.http.responses import JSON, json_response
from api.list_models import EventPage
from api.parts import ApiParts
from api.response_models import Accepted, AcceptedBatch, EventAnswer, RecipientsAnswer
from api.routes import Route
from api.serializers import event_answer, event_page
from exchange.port import Outgoing
from schemas.errors import (
    ExchangeUnavailable,
    InvalidEvent,
    NotFound,
    Unavailable,
)
from schemas.events.events import Event, parse_batch, parse_event
from schemas.ids import EventId
from schemas.listings import EventFilter
from schemas.times import now_ms
from schemas.tokens.permissions import Permission
from store.events.listing import get_event, list_events
from store.events.recipients import recipients_of
from web.models.queries import EventsQuery, IdPath

_TAG = "Events"
_INVALID = "an event is invalid"
_Parsed = TypeVar("_Parsed")

_PARSED_ON_LOOP_BYTES = 32 * 1024
"""Larger: while all faults of a refused body are searched for, other requests wait, 15 ms at this
size. Smaller: more events pay for a thread.
"""


async def publish_event(parts: ApiParts, environ: WSGIEnvironment) -> Response:
    """Publish an event.

    `id` and `timestamp` are optional. The `id` is the idempotency key: the same id twice is one
    event, and the first content is kept. 202 means that the event is stored durably.
    """
    body = read_json_body(environ)
    try:
        event = await _parsed(parts, parse_event, body)
    except InvalidEvent as error:
        raise problem_of(error, _INVALID) from None
    await _publish(parts, [event])
    parts.observer.event_accepted(event.type)
    return Response(b'{"id":"%s","status":"accepted"}' % event.id.encode(), 202, content_type=JSON)


async def publish_batch(parts: ApiParts, environ: WSGIEnvironment) -> Response:
    """Publish up to 1000 events at once.

    Validation is all or nothing: 422 names every invalid event by pointer, and no event is
    accepted. 202 means that all are stored durably.
    """
    body = read_json_body(environ, MAX_BATCH_BYTES)
    try:
        events = await _parsed(parts, parse_batch, body)
    except InvalidEvent as error:
        raise problem_of(error, _INVALID) from None
    await _publish(parts, events)
    for event in events:
        parts.observer.event_accepted(event.type)
    return json_response(AcceptedBatch([event.id for event in events]), HTTPStatus.ACCEPTED)


def list_of_events(parts: ApiParts, query: EventsQuery) -> Response:
    """List events with their deliveries, newest first.

    With `type`, a page reads a bounded number of events: it may hold few, or none, and still have a
    `next_cursor`. Continue until `next_cursor` is null; `looked_until` says how far back the page
    read.
    """
    selected = EventFilter(query.type, query.since, query.until)
    with parts.database.read() as connection:
        return json_response(
            event_page(list_events(connection, selected, query.limit, query.cursor))
        )


def show_event(parts: ApiParts, path: IdPath) -> Response:
    """Show an event with its deliveries.

    It can be read within a second of its 202, unless the database is unavailable or a backlog of
    events comes first.
    """
    with parts.database.read() as connection:
        event = get_event(connection, EventId(path.id))
    if event is None:
        raise _not_there(path)
    return json_response(event_answer(event))


def show_recipients(parts: ApiParts, path: IdPath) -> Response:
    """Show who got an event, and who did not and why.

    All callbacks of its type are listed, whether or not they may see it, except those of revoked
    tokens without a delivery. Callbacks without a delivery are judged by how things are now, which
    `note` says.
    """
    with parts.database.read() as connection:
        recipients = recipients_of(connection, EventId(path.id), parts.directory.now())
    if recipients is None:
        raise _not_there(path)
    return json_response(recipients_answer(recipients))


def _not_there(path: IdPath) -> NotFound:
    return NotFound(f"there is no event {path.id}, or it is not stored yet")


async def _parsed(parts: ApiParts, parse: Callable[[bytes], _Parsed], body: bytes) -> _Parsed:
    """Parse on the event loop what takes a few milliseconds at most, and the rest in a thread."""
    if len(body) <= _PARSED_ON_LOOP_BYTES:
        return parse(body)
    return await parts.threads.parse(parse, body)


async def _publish(parts: ApiParts, events: Sequence[Event]) -> None:
    now = now_ms()
    try:
        await parts.publisher.publish([Outgoing(event, now) for event in events])
    except ExchangeUnavailable:
        # Some may still have been stored: repeating them with these ids is harmless.
        raise Unavailable(
            "not all events could be stored durably: repeat the request with these ids",
            headers={"Retry-After": "1"},
            extra={"ids": [event.id for event in events]},
        ) from None


_PUBLISH, _ADMIN = Permission.EVENTS_PUBLISH, Permission.PLATFORM_ADMIN
_PUBLISH_PROBLEMS = frozenset({400, 413, 415, 422, 503})

PUBLISHING = (
    Route(
        "POST",
        "/v1/events",
        publish_event,
        _TAG,
        status=HTTPStatus.ACCEPTED,
        answer=Accepted,
        needs=_PUBLISH,
        takes="Event",
        problems=_PUBLISH_PROBLEMS,
    ),
    Route(
        "POST",
        "/v1/events/batch",
        publish_batch,
        _TAG,
        status=HTTPStatus.ACCEPTED,
        answer=AcceptedBatch,
        needs=_PUBLISH,
        takes="EventBatch",
        problems=_PUBLISH_PROBLEMS,
        max_bytes=MAX_BATCH_BYTES,
    ),
)
ROUTES = (
    *PUBLISHING,
    Route(
        "GET",
        "/v1/events",
        list_of_events,
        _TAG,
        answer=EventPage,
        needs=_ADMIN,
        problems=frozenset({422}),
    ),
    Route(
        "GET",
        "/v1/events/<id>",
        show_event,
        _TAG,
        answer=EventAnswer,
        needs=_ADMIN,
        problems=frozenset({404}),
    ),
    Route(
        "GET",
        "/v1/events/<id>/recipients",
        show_recipients,
        _TAG,
        answer=RecipientsAnswer,
        needs=_ADMIN,
        problems=frozenset({404}),
    ),
)
