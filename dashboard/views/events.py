"""Events: the list, one event with who got it and who did not, and its payload."""

from http import HTTPStatus

from flask import Response

from dashboard.filters.periods import PRESETS, asked_period
from dashboard.pages import Page, shown
from dashboard.rows.payloads import shown_payload
from dashboard.rows.recipients import recipient_rows
from dashboard.visit import Visit
from schemas.errors import Forbidden, Invalid, NotFound
from schemas.events.types import EventType
from schemas.ids import EventId
from schemas.listings import EventFilter, EventHead
from schemas.listings import Page as ListPage
from schemas.times import UnixMs, to_rfc3339
from store.events.heads import find_with_body, list_heads
from store.events.recipients import recipients_in
from store.people.saved_views import views_of
from web.models.parsing import from_query
from web.models.queries import EventsQuery

ROWS = 50
"""Rows of a page. More: longer pages. Fewer: more pages."""

RECIPIENTS = 100
"""Recipients that are shown of an event. More: larger pages. Fewer: less is seen where callbacks are
many.
"""

FIELDS = ("type", "within", "since", "until", "zone")
"""The parameters of the filter, without that of the page."""


def events(visit: Visit) -> Response:
    """The list."""
    typed = {name: text for name in FIELDS if (text := visit.query.get(name, "").strip())}
    period = asked_period(visit.query, visit.zone)
    if not (period.since or period.until):
        typed.pop("zone", None)
    parameters = period.parameters(visit.now) | {"limit": str(ROWS)}
    parameters |= {name: visit.query[name] for name in ("type", "cursor") if visit.query.get(name)}
    faults: dict[str, str] = {}
    found: ListPage[EventHead] = ListPage([], None)
    try:
        query = from_query(EventsQuery, [(name, [text]) for name, text in parameters.items()])
    except Invalid as error:
        faults = {fault.pointer.split("/")[1]: _fault(visit) for fault in error.faults}
    else:
        criteria = EventFilter(query.type, query.since, query.until)
        with visit.parts.database.read() as connection:
            found = list_heads(connection, criteria, ROWS, query.cursor)
    with visit.parts.database.read() as connection:
        saved = views_of(connection, visit.person.email)
    return visit.render(
        "events.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        typed=typed,
        period=period,
        faults=faults,
        found=found,
        saved=saved,
        is_full=len(found.rows) == ROWS,
        presets=PRESETS,
        types=tuple(EventType),
    )


def event(visit: Visit, event_id: str) -> Response:
    """An event: who got it, who did not and why, and its payload."""
    with visit.parts.database.read() as connection:
        found, body = find_with_body(connection, EventId(event_id))
        if found is None or body is None:
            raise _no_event(event_id)
        recipients = recipients_in(connection, found, visit.now, RECIPIENTS)
    return visit.render(
        "event.html",
        event=found,
        rows=recipient_rows(visit, recipients.listed),
        more=recipients.more,
        payload=shown_payload(body) if visit.may_see_payloads else None,
        missing_since=to_rfc3339(found.accepted_at),
        missing_until=to_rfc3339(UnixMs(found.accepted_at + 1)),
    )


def event_payload(visit: Visit, event_id: str) -> Response:
    """All of a payload on a page of its own."""
    body = _body(visit, event_id)
    as_sent = visit.query.get("as") == "sent"
    return visit.render(
        "payload.html",
        address=f"/events/{event_id}",
        payload=shown_payload(body, whole=True),
        as_sent=as_sent,
    )


def download_payload(visit: Visit, event_id: str) -> Response:
    """The payload as a file, byte for byte."""
    response = Response(_body(visit, event_id), content_type="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="{event_id}.json"'
    return response


def _body(visit: Visit, event_id: str) -> bytes:
    if not visit.may_see_payloads:
        raise Forbidden("you may see what happened, but not the data: ask an administrator")
    with visit.parts.database.read() as connection:
        _, body = find_with_body(connection, EventId(event_id))
    if body is None:
        raise _no_event(event_id)
    return body


def _no_event(event_id: str) -> NotFound:
    return NotFound(f"there is no event {event_id}, or it is not stored any more")


def _fault(visit: Visit) -> str:
    return visit.say("This cannot be read.")


PAGES: tuple[Page, ...] = (
    shown("/events", events),
    shown("/events/<event_id>", event),
    shown("/events/<event_id>/payload", event_payload),
    shown("/events/<event_id>/payload.json", download_payload),
)
